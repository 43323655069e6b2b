"""A turn that another worker began goes on as one turn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import jsonschema
import pytest

from tests.workers.prompts import WEATHER, engine_request, harmony, user
from tests.workers.schemas import SCHEMAS, Schema, constrained
from wire import vocabulary
from workers.compiled_grammars import CompiledGrammars
from workers.engine import GREEDY, EngineRequest, InvalidRequest, LengthReached, Sampling, Stopped
from workers.engines.simulator.plan import Plan, Planner
from workers.engines.simulator.tokenizer import Tokenizer
from workers.settings import GrammarSettings

_DRAWN = replace(GREEDY, temperature=1.0)


def _resumed(request: EngineRequest, begun: Sequence[int], **changes: object) -> EngineRequest:
    """*request*, after a worker that generated *begun* has failed."""
    return replace(
        request,
        prompt=[*request.prompt, *begun],
        max_tokens=request.max_tokens - len(begun),
        generated_tokens=len(begun),
        **changes,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    "sampling", [GREEDY, replace(_DRAWN, seed=7)], ids=["greedy", "with a seed"]
)
def test_what_is_no_matter_of_chance_goes_on_as_if_nothing_had_happened(
    planner: Planner, tokenizer: Tokenizer, sampling: Sampling
) -> None:
    request = engine_request(tokenizer, user("Hi"), sampling=sampling, top_logprobs=2)
    whole = planner.plan(request)
    assert whole.logprobs is not None
    logprobs = whole.logprobs.of(whole.token_ids)

    for at in range(1, len(whole.token_ids)):
        rest = planner.plan(_resumed(request, whole.token_ids[:at]))

        assert [*whole.token_ids[:at], *rest.token_ids] == list(whole.token_ids)
        assert rest.ending == whole.ending
        assert rest.logprobs is not None
        assert rest.logprobs.of(rest.token_ids) == logprobs[at:]


def _is_a_turn(text: str) -> bool:
    """Messages of known channels one after the other, and nothing after the last."""
    *before, last = f"<|start|>assistant{text}".split("<|start|>assistant")[1:]
    return all(
        each.startswith("<|channel|>analysis<|message|>") and each.endswith("<|end|>")
        for each in before
    ) and (
        (last.startswith("<|channel|>final<|message|>") and last.endswith("<|return|>"))
        or (last.startswith("<|channel|>commentary to=functions.") and last.endswith("<|call|>"))
    )


def test_what_was_drawn_differently_still_becomes_one_whole_turn(
    planner: Planner, tokenizer: Tokenizer
) -> None:
    for prompt in (user("Hi"), harmony(("developer", WEATHER), ("user", "Rain?"))):
        one = engine_request(tokenizer, prompt, sampling=replace(_DRAWN, seed=1))
        other = replace(one, sampling=replace(_DRAWN, seed=2))
        whole = planner.plan(one)
        for at in range(1, len(whole.token_ids)):
            begun = whole.token_ids[:at]

            rest = planner.plan(_resumed(other, begun))

            said = tokenizer.decode([*begun, *rest.token_ids])
            assert _is_a_turn(said), said
            if "functions." in said:
                json.loads(said.rsplit("<|message|>", 1)[1].removesuffix("<|call|>"))


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
async def test_the_grammar_holds_for_the_turn_and_not_for_its_second_half(
    planner: Planner, tokenizer: Tokenizer, schema: Schema
) -> None:
    grammars = CompiledGrammars(GrammarSettings(timeout_ms=20_000))
    await grammars.load()
    constraint = constrained(schema)

    async def plan(request: EngineRequest) -> Plan:
        return planner.plan(request, await grammars.matcher(constraint, cache_salt="a"))

    # Found by the mask, each seed another: the second worker would not have begun so.
    one = engine_request(
        tokenizer,
        user('SIM: {"reasoning": "", "raw": "<|channel|>final<|message|>"}'),
        sampling=replace(_DRAWN, seed=1),
        constraint=constraint,
        max_tokens=20_000,
    )
    other = replace(one, sampling=replace(_DRAWN, seed=2))
    whole = (await plan(one)).token_ids
    for at in range(1, len(whole), max(1, len(whole) // 12)):
        rest = await plan(_resumed(other, whole[:at]))
        said = tokenizer.decode([*whole[:at], *rest.token_ids])
        text = said.removeprefix("<|channel|>final<|message|>").removesuffix("<|return|>")
        jsonschema.validate(json.loads(text), schema)

    # At any token of it: the begun half does not fit another constraint.
    with pytest.raises(InvalidRequest, match="does not allow token"):
        unfit = [*whole[:3], vocabulary.MESSAGE]
        await plan(_resumed(other, unfit))
    grammars.close()


def test_what_may_still_be_said_is_counted_on(planner: Planner, tokenizer: Tokenizer) -> None:
    request = engine_request(tokenizer, user("Hi"), max_tokens=12)
    whole = planner.plan(request)

    rest = planner.plan(_resumed(request, whole.token_ids[:5]))

    assert (len(rest.token_ids), rest.ending) == (7, LengthReached())


def test_a_worker_dies_once_of_a_turn_and_fails_always(
    planner: Planner, tokenizer: Tokenizer
) -> None:
    request = engine_request(tokenizer, user('SIM: {"die_after": 9, "fail_after": 20}'))
    whole = planner.plan(request)

    def left(generated: int) -> tuple[int | None, int | None]:
        plan = planner.plan(_resumed(request, whole.token_ids[:generated]))
        assert plan.ending == Stopped(vocabulary.RETURN)
        return plan.directives.die_after, plan.directives.fail_after

    assert [left(each) for each in (8, 9, 21)] == [(1, 12), (None, 11), (None, 0)]
