"""TensorRT-LLM as an Engine, on a fake of its LLM API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.workers.prompts import engine_request, user
from tests.workers.trtllm.conftest import CONFIGURATION, GRAMMAR, Heard, MakeRig
from tests.workers.trtllm.fake_llm import Defects, FakeLlm, FakeTrtllm, script
from tests.workers.trtllm.fake_output import RequestError
from wire import vocabulary
from workers.engine import (
    EngineFailed,
    EngineLoad,
    EngineTotals,
    InvalidRequest,
    LengthReached,
    Sampling,
    Stopped,
)
from workers.engines.simulator.tokenizer import Tokenizer
from workers.engines.trtllm.engine import TensorRtLlm
from workers.settings import SettingsError

_TURN = "<|channel|>final<|message|>Hello there.<|return|>"
_LONG = "<|channel|>final<|message|>" + "so " * 400
_CALL = "<|channel|>commentary to=functions.now<|message|>{}<|call|>"


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - nothing says when
        await asyncio.sleep(0.001)


async def _until_running(llm: FakeLlm, count: int) -> None:
    await _until(lambda: llm.running == count)


async def test_a_turn_arrives_token_by_token_with_the_token_that_ends_it(
    rig: MakeRig, tokenizer: Tokenizer
) -> None:
    async with rig(_TURN) as at:
        heard = Heard()
        ending = await at.engine.generate(engine_request(tokenizer, user("Hi")), heard)

    assert (heard.token_ids, ending) == (
        tokenizer.encode_harmony(_TURN),
        Stopped(vocabulary.RETURN),
    )
    assert heard.logprobs == []


@pytest.mark.parametrize("interval", [1, 3, 100])
@pytest.mark.parametrize(
    ("turn", "stop"), [(_TURN, vocabulary.RETURN), (_CALL, vocabulary.CALL)], ids=["end", "stop"]
)
@pytest.mark.parametrize("defect", ["", "end_id_hidden", "stop_id_always_cut"])
async def test_the_token_that_ends_a_turn_is_there_once_whether_the_library_tells_it_or_not(
    rig: MakeRig, tokenizer: Tokenizer, turn: str, stop: int, defect: str, interval: int
) -> None:
    configuration = replace(CONFIGURATION, stream_interval=interval)
    defects = {defect: True} if defect else {}
    async with rig(turn, configuration=configuration, **defects) as at:
        heard = Heard()
        request = engine_request(tokenizer, user("Hi"), top_logprobs=1)
        ending = await at.engine.generate(request, heard)

    assert (heard.token_ids, ending) == (tokenizer.encode_harmony(turn), Stopped(stop))
    assert len(heard.logprobs) == len(heard.token_ids)


async def test_everything_that_has_another_default_is_said(
    rig: MakeRig, tokenizer: Tokenizer
) -> None:
    sampling = Sampling(
        temperature=0.5, top_p=0.25, seed=7, presence_penalty=1.5, frequency_penalty=-1
    )
    async with rig() as at:
        request = engine_request(
            tokenizer, user("Hi"), max_tokens=3, sampling=sampling, cache_salt="p-1"
        )
        heard = Heard()
        ending = await at.engine.generate(request, heard)

        params = at.trtllm.llm.params[-1]
        assert (ending, len(heard.token_ids)) == (LengthReached(), 3)
        assert at.trtllm.llm.salts == ["p-1"]
        assert (params.max_tokens, params.temperature, params.top_p) == (3, 0.5, 0.25)
        assert (params.seed, params.presence_penalty, params.frequency_penalty) == (7, 1.5, -1)
        assert (params.end_id, params.pad_id) == (vocabulary.RETURN, vocabulary.ENDOFTEXT)
        assert params.stop_token_ids == [vocabulary.ENDOFTEXT, vocabulary.CALL]
        assert params.include_stop_str_in_output
        assert not params.detokenize
        assert params.return_perf_metrics
        assert (params.logprobs, params.guided_decoding, params.logits_processor) == (None,) * 3


@pytest.mark.parametrize("top", [0, 1, 3])
async def test_logprobs_are_those_of_the_tokens_and_no_more_than_were_asked_for(
    rig: MakeRig, tokenizer: Tokenizer, top: int
) -> None:
    async with rig(_TURN) as at:
        heard = Heard()
        await at.engine.generate(engine_request(tokenizer, user("Hi"), top_logprobs=top), heard)

    assert len(heard.logprobs) == len(heard.token_ids)
    for token_id, logprob in zip(heard.token_ids, heard.logprobs, strict=True):
        assert len(logprob.top) == top
        assert list(logprob.top) == sorted(logprob.top, key=lambda each: -each.logprob)
        if top:
            assert (logprob.top[0].token_id, logprob.top[0].logprob) == (token_id, logprob.logprob)


@pytest.mark.parametrize(
    ("defect", "complaint"),
    [
        ("logprobs_missing", "0 log probabilities for 1 tokens"),
        ("logprobs_without_the_token", "no log probability for the generated token"),
    ],
)
async def test_log_probabilities_that_are_not_told_are_not_made_up(
    rig: MakeRig, tokenizer: Tokenizer, defect: str, complaint: str
) -> None:
    async with rig(_TURN, **{defect: True}) as at:
        with pytest.raises(EngineFailed, match=complaint):
            await at.engine.generate(engine_request(tokenizer, user("Hi"), top_logprobs=2), Heard())
        await _until_running(at.trtllm.llm, 0)


async def test_projects_share_no_cache(rig: MakeRig, tokenizer: Tokenizer) -> None:
    async def cached(salt: str) -> int:
        heard = Heard()
        request = engine_request(tokenizer, user("Hi " * 200), max_tokens=1, cache_salt=salt)
        await at.engine.generate(request, heard)
        return heard.cached[0]

    async with rig() as at:
        assert await cached("a") == 0
        assert await cached("a") > 0
        assert await cached("b") == 0


async def test_without_salts_there_is_no_engine_or_no_cache(
    rig: MakeRig, tokenizer: Tokenizer
) -> None:
    trtllm = FakeTrtllm(script(tokenizer, _TURN), tokenizer, Defects(no_cache_salt=True))
    engine = TensorRtLlm(CONFIGURATION, grammar=GRAMMAR, load_library=trtllm)
    with pytest.raises(SettingsError, match="WORKER_TRTLLM_KV_CACHE_REUSE=0"):
        await engine.load()
    assert trtllm.llm.dead  # the GPU is free again

    without = replace(CONFIGURATION, kv_cache_reuse=False)
    async with rig(configuration=without, no_cache_salt=True) as at:
        request = engine_request(tokenizer, user("Hi"), cache_salt="a")
        assert await at.engine.generate(request, Heard()) == Stopped(vocabulary.RETURN)


async def test_who_leaves_frees_the_place_before_the_call_returns(
    rig: MakeRig, tokenizer: Tokenizer
) -> None:
    async with rig(_LONG) as at:
        llm = at.trtllm.llm
        heard = Heard()
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(
                at.engine.generate(engine_request(tokenizer, user("Hi")), heard)
            )
            await heard.anything.wait()
            assert at.engine.load_now().running == 1
            task.cancel()
        assert task.cancelled()
        assert llm.running == 0
        assert at.engine.load_now().running == 0
        told = len(heard.token_ids)
        await asyncio.sleep(0.01)
        assert len(heard.token_ids) == told


async def test_those_beyond_the_batch_wait(rig: MakeRig, tokenizer: Tokenizer) -> None:
    async with rig(_LONG) as at, asyncio.TaskGroup() as tasks:
        request = engine_request(tokenizer, user("Hi"))
        running = [tasks.create_task(at.engine.generate(request, Heard())) for _ in range(6)]
        await _until_running(at.trtllm.llm, 6)
        load = at.engine.load_now()
        assert (load.running, load.queued) == (4, 2)
        for each in running:
            each.cancel()


async def test_what_the_library_refuses_is_the_requests_fault(
    rig: MakeRig, tokenizer: Tokenizer
) -> None:
    async with rig() as at:
        for broken in (
            replace(engine_request(tokenizer, user("Hi")), prompt=[]),
            replace(engine_request(tokenizer, user("Hi")), max_tokens=0),
        ):
            with pytest.raises(InvalidRequest, match="TensorRT-LLM refuses it"):
                await at.engine.generate(broken, Heard())
        assert at.engine.load_now() == EngineLoad(0, 0, 1.0)


async def test_what_befalls_one_generation_leaves_the_others_alone(
    rig: MakeRig, tokenizer: Tokenizer
) -> None:
    async with rig() as at:
        long = replace(engine_request(tokenizer, user("Hi")), prompt=[1] * 600)
        with pytest.raises(EngineFailed, match="is too long"):
            await at.engine.generate(long, Heard())
        assert not at.engine.load_now().broken
        request = engine_request(tokenizer, user("Hi"))
        assert await at.engine.generate(request, Heard()) == Stopped(vocabulary.RETURN)


@pytest.mark.parametrize("reason", ["timeout", "cancelled", "not_finished"])
async def test_an_ending_that_nobody_asked_for_is_a_failure(
    rig: MakeRig, tokenizer: Tokenizer, reason: str
) -> None:
    heard = Heard()
    async with rig(_LONG) as at, asyncio.TaskGroup() as tasks:

        async def generate() -> None:
            with pytest.raises(EngineFailed, match=f"ended the generation: {reason}"):
                await at.engine.generate(engine_request(tokenizer, user("Hi")), heard)

        tasks.create_task(generate())
        await heard.anything.wait()
        at.trtllm.llm.end(reason)


async def test_a_text_that_ends_as_no_turn_does_is_a_failure(
    rig: MakeRig, tokenizer: Tokenizer
) -> None:
    async with rig("<|channel|>final<|message|>Hm<|endoftext|>") as at:
        with pytest.raises(EngineFailed, match="stopped at 199999, which is no end of a turn"):
            await at.engine.generate(engine_request(tokenizer, user("Hi")), Heard())


async def test_more_tokens_than_were_ordered_are_a_failure(
    rig: MakeRig, tokenizer: Tokenizer
) -> None:
    async with rig(_TURN, one_token_more=True) as at:
        with pytest.raises(EngineFailed, match="more than 3"):
            await at.engine.generate(engine_request(tokenizer, user("Hi"), max_tokens=3), Heard())


@pytest.mark.parametrize("silently", [False, True])
async def test_a_dead_executor_ends_every_stream_and_takes_no_more(
    rig: MakeRig, tokenizer: Tokenizer, silently: bool
) -> None:
    async with rig(_LONG) as at:

        async def generate(heard: Heard) -> None:
            with pytest.raises(EngineFailed, match="TensorRT-LLM.*(dead|died)"):
                await at.engine.generate(engine_request(tokenizer, user("Hi")), heard)

        async with asyncio.TaskGroup() as tasks:
            sinks = [Heard(), Heard()]
            for sink in sinks:
                tasks.create_task(generate(sink))
            for sink in sinks:
                await sink.anything.wait()
            at.trtllm.llm.die(silently=silently)
        assert at.engine.load_now().broken
        assert at.engine.load_now().running == 0
        with pytest.raises(EngineFailed, match="dead"):
            await at.engine.generate(engine_request(tokenizer, user("Hi")), Heard())


async def test_an_engine_that_died_while_idle_is_noticed_without_a_request(
    rig: MakeRig,
) -> None:
    async with rig() as at:
        at.trtllm.llm.die(silently=True)
        await _until(lambda: at.engine.load_now().broken)


async def test_an_engine_that_shuts_down_under_a_request_is_broken_at_once(
    rig: MakeRig, tokenizer: Tokenizer
) -> None:
    async with rig() as at:
        at.trtllm.llm.dead = True
        with pytest.raises(EngineFailed, match="shutting down"):
            await at.engine.generate(engine_request(tokenizer, user("Hi")), Heard())
        assert at.engine.load_now().broken


async def test_a_hanging_executor_ends_every_stream(rig: MakeRig, tokenizer: Tokenizer) -> None:
    configuration = replace(CONFIGURATION, hang_s=0.3)
    async with rig(configuration=configuration) as at:
        at.trtllm.llm.hanging = True
        with pytest.raises(EngineFailed, match="hangs: no progress"):
            await at.engine.generate(engine_request(tokenizer, user("Hi")), Heard())
        assert at.engine.load_now().broken


async def test_perf_metrics_and_the_kv_cache_are_added_up(
    rig: MakeRig, tokenizer: Tokenizer
) -> None:
    async with rig(_TURN) as at:
        for _ in range(2):
            await at.engine.generate(engine_request(tokenizer, user("Hi")), Heard())
        totals = at.engine.load_now().totals
        length = len(tokenizer.encode_harmony(_TURN))
        assert totals.queue_s == pytest.approx(0.02)
        assert totals.prefill_s == pytest.approx(0.06)
        assert totals.decode_s == pytest.approx(0.02 * length)
        assert totals.missed_blocks == 4

    async with rig(_LONG) as at, asyncio.TaskGroup() as tasks:
        at.trtllm.llm.step_s = 0.01
        request = engine_request(tokenizer, user("Hi " * 100))
        task = tasks.create_task(at.engine.generate(request, Heard()))
        await _until(lambda: at.engine.load_now().kv_free_ratio < 1)
        totals = at.engine.load_now().totals
        assert totals.iterations > 0
        assert totals.iteration_s == pytest.approx(0.02 * totals.iterations)
        task.cancel()


async def test_what_is_not_told_is_no_reason_to_fail(rig: MakeRig, tokenizer: Tokenizer) -> None:
    async with rig(_TURN, no_perf_metrics=True, other_statistics=True) as at:
        await at.engine.generate(engine_request(tokenizer, user("Hi")), Heard())
        assert at.engine.load_now() == EngineLoad(0, 0, 1.0, totals=EngineTotals())


async def test_a_prompt_beyond_one_step_is_read_in_several(
    rig: MakeRig, tokenizer: Tokenizer
) -> None:
    async with rig(_TURN) as at:
        request = engine_request(tokenizer, user("Hi " * 200))
        assert len(request.prompt) > CONFIGURATION.layout.max_num_tokens
        assert await at.engine.generate(request, Heard()) == Stopped(vocabulary.RETURN)


async def test_request_errors_out_of_the_stream_are_told(
    rig: MakeRig, tokenizer: Tokenizer
) -> None:
    async with rig(_LONG) as at:
        heard = Heard()

        async def generate() -> None:
            with pytest.raises(EngineFailed, match="TensorRT-LLM: no blocks"):
                await at.engine.generate(engine_request(tokenizer, user("Hi")), heard)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(generate())
            await heard.anything.wait()
            at.trtllm.llm.fail(RequestError("no blocks"))
        assert not at.engine.load_now().broken
