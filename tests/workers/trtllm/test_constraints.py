"""Turns that are held to a grammar, from their beginning or from their middle."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from tests.workers.prompts import engine_request, user
from tests.workers.schemas import closed, constrained
from tests.workers.trtllm.conftest import CONFIGURATION, GRAMMAR, Heard, MakeRig
from tests.workers.trtllm.fake_llm import Logits
from wire import vocabulary
from workers.compiled_grammars import grammar_matcher
from workers.engine import EngineFailed, EngineRequest, InvalidRequest, Stopped
from workers.engines.simulator.tokenizer import Tokenizer
from workers.engines.trtllm.resumed_grammar import ResumedGrammar, TurnCheck
from workers.engines.trtllm.sampling import OUT_OF_TURN
from workers.grammar import turn_grammar

_CONSTRAINT = constrained(closed({"city": {"type": "string"}, "rain": {"type": "boolean"}}))
_HEADER = "<|channel|>final<|message|>"
_FITS = _HEADER + '{"city":"Paris","rain":true}<|return|>'
_DOES_NOT = _HEADER + '{"city":"Paris", "rain" : "I do not know"}<|return|>'


def _begun(request: EngineRequest, ids: list[int]) -> EngineRequest:
    return replace(
        request,
        prompt=[*request.prompt, *ids],
        max_tokens=request.max_tokens - len(ids),
        generated_tokens=len(ids),
    )


async def test_a_turn_from_its_beginning_is_guided_by_the_library(
    rig: MakeRig, tokenizer: Tokenizer
) -> None:
    async with rig(_DOES_NOT, _FITS) as at:
        heard = Heard()
        request = engine_request(tokenizer, user("Hi"), constraint=_CONSTRAINT)
        await at.engine.generate(request, heard)

        params = at.trtllm.llm.params[-1]
        assert params.guided_decoding is not None
        assert params.guided_decoding.grammar == turn_grammar(_CONSTRAINT)
        assert params.logits_processor is None
    said = tokenizer.decode(heard.token_ids).removeprefix(_HEADER).removesuffix("<|return|>")
    assert set(json.loads(said)) == {"city", "rain"}


@pytest.mark.parametrize("max_num_tokens", [16, 64, 512], ids=["in chunks", "in 2", "at once"])
async def test_a_turn_goes_on_from_any_of_its_tokens_and_is_one_that_the_schema_takes(
    rig: MakeRig, tokenizer: Tokenizer, max_num_tokens: int
) -> None:
    whole = tokenizer.encode_harmony(_FITS)
    layout = replace(CONFIGURATION.layout, max_num_tokens=max_num_tokens)
    configuration = replace(CONFIGURATION, layout=layout)
    # The second worker's model would rather say what does not fit.
    async with rig(_DOES_NOT, _FITS, configuration=configuration) as at:
        request = engine_request(tokenizer, user("Hi"), constraint=_CONSTRAINT)
        for count in range(1, len(whole)):
            heard = Heard()
            ending = await at.engine.generate(_begun(request, whole[:count]), heard)

            assert ending == Stopped(vocabulary.RETURN)
            said = tokenizer.decode([*whole[:count], *heard.token_ids])
            value = json.loads(said.removeprefix(_HEADER).removesuffix("<|return|>"))
            assert set(value) == {"city", "rain"}
            assert isinstance(value["rain"], bool)
            params = at.trtllm.llm.params[-1]
            assert params.guided_decoding is None


async def test_calls_go_on_as_well(rig: MakeRig, tokenizer: Tokenizer) -> None:
    constraint = constrained(call_required=True, now=closed({"zone": {"type": "string"}}))
    call = '<|channel|>commentary to=functions.now<|message|>{"zone":"a"}<|call|>'
    whole = tokenizer.encode_harmony(call)
    async with rig(_DOES_NOT, call) as at:
        request = engine_request(tokenizer, user("Hi"), constraint=constraint)
        for count in range(1, len(whole)):
            heard = Heard()
            ending = await at.engine.generate(_begun(request, whole[:count]), heard)
            assert ending == Stopped(vocabulary.CALL)
            said = tokenizer.decode([*whole[:count], *heard.token_ids])
            _, arguments = said.split("to=functions.now<|message|>")
            assert set(json.loads(arguments.removesuffix("<|call|>"))) == {"zone"}


async def test_an_unconstrained_turn_goes_on_with_nothing_special(
    rig: MakeRig, tokenizer: Tokenizer
) -> None:
    whole = tokenizer.encode_harmony(_FITS)
    async with rig(_FITS) as at:
        heard = Heard()
        await at.engine.generate(_begun(engine_request(tokenizer, user("Hi")), whole[:5]), heard)
        assert [*whole[:5], *heard.token_ids] == whole
        assert at.trtllm.llm.params[-1].logits_processor is None


async def test_a_half_turn_of_another_grammar_is_refused_before_the_gpu_sees_it(
    rig: MakeRig, tokenizer: Tokenizer
) -> None:
    half = tokenizer.encode_harmony(_HEADER + '{"town')
    async with rig(_FITS) as at:
        request = engine_request(tokenizer, user("Hi"), constraint=_CONSTRAINT)
        with pytest.raises(InvalidRequest, match="the constraint does not allow token"):
            await at.engine.generate(_begun(request, half), Heard())
        assert at.trtllm.llm.params == []


async def test_a_bad_schema_is_refused_before_the_gpu_sees_it(
    rig: MakeRig, tokenizer: Tokenizer
) -> None:
    async with rig(_FITS) as at:
        constraint = constrained('{"type": "strung"}')
        request = engine_request(tokenizer, user("Hi"), constraint=constraint)
        with pytest.raises(InvalidRequest, match="final_schema_json"):
            await at.engine.generate(request, Heard())
        assert at.trtllm.llm.params == []


@pytest.mark.parametrize("defect", ["late_ids", "processor_ignored"])
async def test_a_turn_that_left_its_grammar_is_not_delivered(
    rig: MakeRig, tokenizer: Tokenizer, defect: str
) -> None:
    whole = tokenizer.encode_harmony(_FITS)
    half = whole[: len(tokenizer.encode_harmony(_HEADER + '{"city":"Paris"'))]
    async with rig(_DOES_NOT, _FITS, **{defect: True}) as at:
        heard = Heard()
        request = engine_request(tokenizer, user("Hi"), constraint=_CONSTRAINT)
        with pytest.raises(EngineFailed, match="the constraint does not allow token"):
            await at.engine.generate(_begun(request, half), heard)
        matcher = grammar_matcher(turn_grammar(_CONSTRAINT), GRAMMAR)
        delivered = [*half, *heard.token_ids]
        assert matcher.try_consume_tokens(delivered) == len(delivered)


@pytest.mark.parametrize("defect", ["", "late_ids", "processor_ignored", "pickling_fails"])
async def test_the_warm_up_does_without_what_only_takeovers_need(
    rig: MakeRig, caplog: pytest.LogCaptureFixture, defect: str
) -> None:
    warm = replace(CONFIGURATION, warm_up=True)
    async with rig(_DOES_NOT, configuration=warm, **({defect: True} if defect else {})) as at:
        assert len(at.trtllm.llm.params) == 3
    assert ("cannot be gone on with" in caplog.text) == bool(defect)


async def test_an_engine_that_cannot_generate_is_not_loaded(rig: MakeRig) -> None:
    warm = replace(CONFIGURATION, warm_up=True)
    with pytest.raises(EngineFailed, match="is too long"):
        async with rig(configuration=replace(warm, context_tokens=2)):
            raise AssertionError


def _masked(processor: ResumedGrammar, ids: list[int]) -> set[int]:
    logits = Logits(np.zeros((1, 1, 201_216), dtype=np.float32))
    processor(1, logits, [ids], None, None)
    return {int(each) for each in np.flatnonzero(np.isfinite(logits.values[0, 0]))}


def test_a_processor_that_cannot_go_on_says_so_with_a_token_and_never_raises(
    tokenizer: Tokenizer,
) -> None:
    ids = tokenizer.encode_harmony(user("Hi"))
    half = tokenizer.encode_harmony(_HEADER + '{"town')

    def processor(grammar: str) -> ResumedGrammar:
        made = ResumedGrammar(grammar, turn_begins_at=len(ids), settings=GRAMMAR)
        return pickle.loads(pickle.dumps(made))  # type: ignore[no-any-return]

    lost = processor(turn_grammar(_CONSTRAINT))
    assert _masked(lost, [*ids, *half]) == {OUT_OF_TURN}
    assert _masked(lost, [*ids, *half, OUT_OF_TURN]) == {OUT_OF_TURN}
    assert _masked(processor("start: ("), [*ids, *half]) == {OUT_OF_TURN}
    broken = processor(turn_grammar(_CONSTRAINT))
    assert _masked(broken, None) == {OUT_OF_TURN}  # type: ignore[arg-type]


def test_after_its_last_token_a_turn_can_only_end(tokenizer: Tokenizer) -> None:
    whole = tokenizer.encode_harmony(_FITS)
    processor = ResumedGrammar(turn_grammar(_CONSTRAINT), turn_begins_at=0, settings=GRAMMAR)
    assert _masked(processor, whole[:-1]) == {vocabulary.RETURN}

    check = TurnCheck(grammar_matcher(turn_grammar(_CONSTRAINT), GRAMMAR))
    assert check.complaint(whole[:3]) is None
    assert check.complaint([vocabulary.RETURN]) == (
        f"the constraint does not allow token {vocabulary.RETURN} here"
    )
