"""Grammars on the real llguidance: what they take, and which are refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from llguidance import LLMatcher

from tests.workers.schemas import BOMBS, REFUSED, Schema, closed, constrained
from wire import vocabulary
from workers.compiled_grammars import CompiledGrammars, compile_grammar, grammar_tokenizer
from workers.engine import Busy, InvalidRequest, OutputConstraint
from workers.engines.simulator.tokenizer import Tokenizer
from workers.settings import GrammarSettings

_SETTINGS = GrammarSettings(timeout_ms=20_000)  # a busy machine is no reason to refuse
_CITY = closed({"city": {"type": "string"}})
_ANALYSIS = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant"
_PREAMBLE = "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant"
_CALL = '<|message|>{"city":"Paris"}<|call|>'

Takes = Callable[[str], bool]


@asynccontextmanager
async def _grammars(settings: GrammarSettings = _SETTINGS) -> AsyncIterator[CompiledGrammars]:
    grammars = CompiledGrammars(settings)
    await grammars.load()
    try:
        yield grammars
    finally:
        grammars.close()


async def _taker(tokenizer: Tokenizer, constraint: OutputConstraint) -> Takes:
    """Whether a whole turn, control tokens spelled, is one that *constraint* takes."""
    async with _grammars() as grammars:
        matcher = await grammars.matcher(constraint, cache_salt="a")

    def takes(turn: str) -> bool:
        ids = tokenizer.encode_harmony(turn)
        at: LLMatcher = matcher.deep_copy()
        return at.try_consume_tokens(ids) == len(ids) and at.is_accepting()

    return takes


async def _refusal(constraint: OutputConstraint, settings: GrammarSettings = _SETTINGS) -> str:
    async with _grammars(settings) as grammars:
        with pytest.raises(InvalidRequest) as refusal:
            await grammars.matcher(constraint, cache_salt="a")
    return str(refusal.value)


def test_both_tokenizers_cut_text_alike(tokenizer: Tokenizer) -> None:
    for text in ('naïve 漢字 🙂 {"a": 1.5e3}\n\n  x', "def f(x):\n\treturn x  # ok\n", "<|end|>"):
        assert grammar_tokenizer().tokenize_str(text) == tokenizer.encode(text)


async def test_a_call_may_be_spelled_in_each_way_that_harmony_reads_as_one(
    tokenizer: Tokenizer,
) -> None:
    takes = await _taker(tokenizer, constrained(call_required=True, rain=_CITY))

    for header in (
        "<|channel|>commentary to=functions.rain",
        "<|channel|>commentary to=functions.rain<|constrain|>json",
        "<|channel|>commentary to=functions.rain <|constrain|>json",
        " to=functions.rain<|channel|>commentary",
        " to=functions.rain<|channel|>commentary json",
        " to=functions.rain<|channel|>commentary<|constrain|>json",
        " to=functions.rain<|channel|>commentary <|constrain|>json",
    ):
        assert takes(header + _CALL), header
        assert takes(_ANALYSIS + _PREAMBLE + _ANALYSIS + header + _CALL), header


async def test_a_required_call_is_one_of_a_function_that_may_be_called(
    tokenizer: Tokenizer,
) -> None:
    takes = await _taker(tokenizer, constrained(call_required=True, rain=_CITY))
    call = "<|channel|>commentary to=functions.rain" + _CALL

    assert takes(call)
    assert not takes("<|channel|>final<|message|>No.")
    assert not takes("<|channel|>commentary to=functions.snow" + _CALL)
    assert not takes(call.replace('"Paris"', "1"))
    assert not takes(call.replace('{"city', '{ "city'))
    assert not takes(_ANALYSIS)
    assert not takes(_ANALYSIS * 9 + call)
    assert takes(_ANALYSIS * 8 + call)


async def test_a_final_message_follows_its_schema_and_has_one_header(tokenizer: Tokenizer) -> None:
    takes = await _taker(tokenizer, constrained(_CITY))

    assert takes(_ANALYSIS + '<|channel|>final<|message|>{"city":"Paris"}')
    assert takes('<|channel|>final<|message|>{"city":"Paris"}')
    assert not takes('<|channel|>final <|constrain|>json<|message|>{"city":"Paris"}')
    assert not takes("<|channel|>final<|message|>Paris")
    assert not takes(_PREAMBLE + '<|channel|>final<|message|>{"city":"Paris"}')
    assert not takes("<|channel|>commentary to=functions.rain" + _CALL)


async def test_functions_and_a_final_schema_go_together(tokenizer: Tokenizer) -> None:
    takes = await _taker(tokenizer, constrained({"type": "integer"}, rain=_CITY, now=""))

    assert takes("<|channel|>final<|message|>7")
    assert takes("<|channel|>commentary to=functions.rain" + _CALL)
    assert takes('<|channel|>commentary to=functions.now<|message|>{"any":[1]}<|call|>')
    assert not takes("<|channel|>commentary to=functions.now<|message|>[1]<|call|>")
    assert not takes("<|channel|>final<|message|>seven")


@pytest.mark.parametrize(("schema", "why"), REFUSED.values(), ids=REFUSED)
async def test_what_cannot_be_enforced_is_refused_with_field_and_reason(
    schema: Schema | str, why: str
) -> None:
    final = await _refusal(constrained(schema))
    function = await _refusal(constrained(call_required=True, good=_CITY, bad=schema))

    assert final.startswith("constraint.final_schema_json: ")
    assert function.startswith("constraint.functions[1].parameters_json (bad): ")
    assert why in final and why in function
    assert "\n" not in final


async def test_the_loop_runs_on_while_a_grammar_is_compiled() -> None:
    constraint = constrained(BOMBS["optional properties"])
    async with _grammars() as grammars, asyncio.TaskGroup() as tasks:
        compiling = tasks.create_task(grammars.matcher(constraint, cache_salt="a"))
        await asyncio.sleep(0)

        assert not compiling.done()


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
async def test_a_bomb_is_compiled_or_refused_by_its_field(bomb: Schema) -> None:
    async with _grammars() as grammars:
        try:
            await grammars.matcher(constrained(bomb), cache_salt="a")
        except InvalidRequest as refusal:
            assert str(refusal).startswith("constraint.final_schema_json: ")


async def test_a_constraint_of_too_many_bytes_is_refused() -> None:
    refusal = await _refusal(constrained('{"type": "object"}'), replace(_SETTINGS, max_bytes=17))

    assert refusal == "constraint: schemas of 18 bytes; at most 17"


async def test_who_does_not_wait_for_a_compilation_finds_it_done_later() -> None:
    constraint = constrained(BOMBS["optional properties"])
    async with _grammars(replace(_SETTINGS, timeout_ms=1)) as grammars:
        with pytest.raises(Busy, match="constraint: not compiled in 1 ms"):
            await grammars.matcher(constraint, cache_salt="a")

        async with asyncio.timeout(30):
            while not await _succeeds(grammars, constraint):  # noqa: ASYNC110 - a thread
                await asyncio.sleep(0.05)


async def _succeeds(grammars: CompiledGrammars, constraint: OutputConstraint) -> bool:
    try:
        await grammars.matcher(constraint, cache_salt="a")
    except Busy:
        return False
    return True


async def test_what_one_generation_consumes_is_not_missing_for_the_next(
    tokenizer: Tokenizer,
) -> None:
    async with _grammars() as grammars:
        first = await grammars.matcher(constrained(_CITY), cache_salt="a")
        assert first.consume_tokens(tokenizer.encode_harmony("<|channel|>final<|message|>{"))
        second = await grammars.matcher(constrained(_CITY), cache_salt="a")

    assert second.consume_token(vocabulary.CHANNEL)


@pytest.mark.parametrize("limit", [{"cache_entries": 2}, {"cache_bytes": 50}])
async def test_the_memory_for_grammars_is_bounded(limit: dict[str, int]) -> None:
    async with _grammars(replace(_SETTINGS, **limit)) as grammars:
        for number in range(10, 15):
            await grammars.matcher(constrained({"minimum": number}), cache_salt="a")  # 15 bytes

        assert 0 < len(grammars) <= 3


async def test_a_project_with_slow_schemas_does_not_hold_up_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of one cache salt one grammar is compiled at a time, so a thread is left for others."""
    compiling, release = list[str](), threading.Event()

    def compile_slowly(constraint: OutputConstraint, settings: GrammarSettings) -> object:
        name = constraint.functions[0].name
        compiling.append(name)
        if name.startswith("slow"):
            release.wait(20)
        return compile_grammar(constraint, settings)

    monkeypatch.setattr("workers.compiled_grammars.compile_grammar", compile_slowly)
    async with _grammars() as grammars, asyncio.TaskGroup() as tasks:
        for n in range(5):
            slow = constrained(call_required=True, **{f"slow{n}": _CITY})
            tasks.create_task(grammars.matcher(slow, cache_salt="flood"))
        await asyncio.sleep(0)
        quick = constrained(call_required=True, quick=_CITY)
        await grammars.matcher(quick, cache_salt="other")
        assert compiling == ["slow0", "quick"]
        release.set()
