"""What the simulator says under a constraint fits it, whatever it would have said."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from tests.workers.prompts import WEATHER, engine_request, harmony, user
from tests.workers.schemas import SCHEMAS, Schema, closed, constrained
from wire import vocabulary
from workers.compiled_grammars import CompiledGrammars
from workers.engine import (
    GREEDY,
    InvalidRequest,
    LengthReached,
    OutputConstraint,
    Sampling,
    Stopped,
)
from workers.engines.simulator.plan import Plan, Planner
from workers.engines.simulator.tokenizer import Tokenizer
from workers.settings import GrammarSettings

_DRAWN = replace(GREEDY, temperature=1.0)
_CITY = closed({"city": {"type": "string"}})
_RAW_FINAL = '{"reasoning": "", "raw": "<|channel|>final<|message|>"}'
_TEXTS_THAT_FIT_NOTHING = (
    "{}",
    '{"raw": ""}',
    '{"raw": "I am free.<|return|>"}',
    '{"raw": "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>"}',
    '{"raw": "<|channel|>final<|message|>Paris<|return|>"}',
    '{"raw": "<|channel|>commentary to=functions.snow<|message|>{}<|call|>"}',
    '{"raw": "<|channel|>commentary"}',
    '{"raw": "<|channel|>analysis<|message|>Hm.<|call|>"}',
    '{"text": "Paris"}',
    '{"text": "Paris", "repeat": 200, "reasoning": ""}',
)


class Speaker:
    """Plans under constraints."""

    def __init__(self, planner: Planner, tokenizer: Tokenizer) -> None:
        self._planner = planner
        self._tokenizer = tokenizer

    async def plan(
        self,
        constraint: OutputConstraint,
        prompt: str,
        *,
        sampling: Sampling = GREEDY,
        max_tokens: int = 3000,
    ) -> Plan:
        grammars = CompiledGrammars(GrammarSettings(timeout_ms=20_000))
        await grammars.load()
        matcher = await grammars.matcher(constraint, cache_salt="a")
        grammars.close()
        request = engine_request(
            self._tokenizer,
            prompt,
            sampling=sampling,
            max_tokens=max_tokens,
            constraint=constraint,
        )
        return self._planner.plan(request, matcher)

    async def said(
        self, constraint: OutputConstraint, prompt: str, *, sampling: Sampling = GREEDY
    ) -> str:
        plan = await self.plan(constraint, prompt, sampling=sampling)
        return self._tokenizer.decode(plan.token_ids)


@pytest.fixture(scope="session")
def speaker(planner: Planner, tokenizer: Tokenizer) -> Speaker:
    return Speaker(planner, tokenizer)


def _final(turn: str) -> Any:
    header, text = turn.split("<|message|>")[-2:]
    assert header.endswith("<|channel|>final"), turn
    assert text.endswith("<|return|>"), turn
    return json.loads(text.removesuffix("<|return|>"))


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
async def test_the_final_message_fits_its_schema(speaker: Speaker, schema: Schema) -> None:
    constraint = constrained(schema)
    turns = [await speaker.said(constraint, user("Hi"))]
    # The proposal is cut off before it begins: all of the JSON is found by the mask.
    for seed in range(3):
        sampling = replace(_DRAWN, seed=seed)
        turns.append(await speaker.said(constraint, user(f"SIM: {_RAW_FINAL}"), sampling=sampling))

    for turn in turns:
        jsonschema.validate(_final(turn), schema)


async def test_arguments_fit_as_well(speaker: Speaker) -> None:
    for schema in SCHEMAS.values():
        if schema.get("type") != "object":
            continue
        said = await speaker.said(constrained(call_required=True, f=schema), user("Hi"))
        header, arguments = said.split("<|message|>")[-2:]
        assert header.endswith("<|channel|>commentary to=functions.f <|constrain|>json")
        jsonschema.validate(json.loads(arguments.removesuffix("<|call|>")), schema)


async def test_of_many_drawn_schemas_more_than_99_in_100_are_followed(speaker: Speaker) -> None:
    rng = random.Random(1)
    misses = []
    for number in range(150):
        schema = closed({name: _drawn_schema(rng, 0) for name in "abc"[: rng.randint(1, 3)]})
        prompt = user("Hi") if number % 2 else user(f"SIM: {_RAW_FINAL}")
        said = await speaker.said(constrained(schema), prompt)
        try:
            jsonschema.validate(_final(said), schema)
        except (AssertionError, ValueError, jsonschema.ValidationError) as exc:
            misses.append((schema, said, exc))

    assert len(misses) <= 1, misses


def _drawn_schema(rng: random.Random, depth: int) -> Schema:
    leaves: list[Schema] = [
        {"type": "string", "maxLength": rng.randint(0, 9)},
        {"type": "string", "minLength": rng.randint(0, 9)},
        {"type": "string", "pattern": f"^[a-f]{{{rng.randint(1, 5)}}}$"},
        {"type": "integer", "minimum": rng.randint(-99, 99)},
        {"type": "number", "maximum": rng.randint(-99, 99)},
        {"enum": [rng.randint(0, 9), "x", None]},
        {"type": ["boolean", "null"]},
    ]
    if depth == 3 or rng.random() < 0.4:
        return rng.choice(leaves)
    inner = _drawn_schema(rng, depth + 1)
    nested: list[Schema] = [
        closed({"a": inner, "b": rng.choice(leaves)}),
        {"type": "object", "properties": {"a": inner, "b": inner}, "required": ["b"]},
        {"type": "array", "items": inner, "minItems": rng.randint(0, 2), "maxItems": 3},
        {"anyOf": [inner, {"type": "null"}]},
    ]
    return rng.choice(nested)


@pytest.mark.parametrize("directive", _TEXTS_THAT_FIT_NOTHING)
async def test_nothing_that_is_directed_breaks_the_constraint(
    speaker: Speaker, directive: str
) -> None:
    # Escaped: a control token would end the prompt's message.
    prompt = user("SIM: " + directive.replace("<", "\\u003c"))
    final = await speaker.said(constrained(_CITY), prompt)
    call = await speaker.said(constrained(call_required=True, rain=_CITY, now=""), prompt)

    jsonschema.validate(_final(final), _CITY)
    header, arguments = call.split("<|message|>")[-2:]
    assert "to=functions.rain" in header
    assert arguments.endswith("<|call|>")
    jsonschema.validate(json.loads(arguments.removesuffix("<|call|>")), _CITY)


async def test_a_required_call_is_made_after_reasoning_though_the_prompt_names_another(
    speaker: Speaker,
) -> None:
    prompt = harmony(("developer", WEATHER), ("user", "Rain?"))

    said = await speaker.said(constrained(call_required=True, snow=_CITY), prompt)

    assert said.startswith("<|channel|>analysis<|message|>")
    assert said.endswith(
        "<|start|>assistant<|channel|>commentary to=functions.snow <|constrain|>json"
        '<|message|>{"city":"Paris"}<|call|>'
    )


async def test_without_functions_none_is_called(speaker: Speaker) -> None:
    prompt = harmony(("developer", WEATHER), ("user", "Rain?"))

    assert "<|channel|>final<|message|>" in await speaker.said(constrained(), prompt)


async def test_a_seed_decides(speaker: Speaker) -> None:
    constraint = constrained(SCHEMAS["lengths"])
    prompt = user(f"SIM: {_RAW_FINAL}")

    async def said(sampling: Sampling) -> str:
        return await speaker.said(constraint, prompt, sampling=sampling)

    assert await said(GREEDY) == await said(GREEDY)
    assert await said(replace(_DRAWN, seed=5)) == await said(replace(_DRAWN, seed=5))
    assert await said(replace(_DRAWN, seed=5)) != await said(replace(_DRAWN, seed=6))


async def test_max_tokens_cuts_a_constrained_turn_too(speaker: Speaker) -> None:
    whole = await speaker.plan(constrained(_CITY), user("Hi"))
    cut = await speaker.plan(constrained(_CITY), user("Hi"), max_tokens=15)

    assert whole.ending == Stopped(vocabulary.RETURN)
    assert (cut.token_ids, cut.ending) == (whole.token_ids[:15], LengthReached())


async def test_a_grammar_that_fails_on_the_way_is_refused_before_any_token(
    speaker: Speaker,
) -> None:
    schema = {"type": "string", "pattern": "^(([a-z]{1,1000}){1,1000}){1,1000}$"}

    with pytest.raises(InvalidRequest, match="constraint: cannot be followed: lexer error"):
        await speaker.plan(constrained(schema), user("Hi"))
