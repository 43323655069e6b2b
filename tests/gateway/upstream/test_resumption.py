"""Workers that fail in the middle of a turn: another one goes on, and no client notices."""

from __future__ import annotations

import asyncio
from array import array
from dataclasses import replace
from functools import partial

import pytest

from gateway.generation import Chunk, FinishReason, OutputConstraint, UpstreamError, UpstreamFailure
from gateway.upstream.turn import Turn
from tests.gateway.upstream.conftest import GENERATION, Sharing, StartUpstream, Upstream
from tests.gateway.upstream.fake_triton import Script, Stream, count_to, count_to_three
from tests.gateway.upstream.test_takeover import (
    FAILURES,
    draining,
    end_early,
    heard,
    no_start,
    tokens_of,
)
from wire.v1 import generation_pb2 as wire


def begin_and(script: Script, *, tokens: int = 1) -> Script:
    """Tokens 1, 2, ... or those that follow what was generated before, then *script*."""

    async def begin(stream: Stream) -> None:
        behind = stream.asked.request.generated_tokens
        await stream.send(range(behind + 1, behind + tokens + 1))
        await script(stream)

    return begin


async def received_until_failure(upstream: Upstream) -> tuple[list[Chunk], UpstreamError]:
    received = []
    with pytest.raises(UpstreamError) as raised:
        async with upstream.engine.generate(GENERATION) as chunks:
            async for chunk in chunks:
                received.append(chunk)
    return received, raised.value


@pytest.mark.parametrize(
    ("script", "reason"), [case for case in FAILURES if case[0] is not no_start]
)
async def test_another_worker_goes_on_behind_the_last_token(
    start_upstream: StartUpstream, sharing: Sharing, script: Script, reason: str
) -> None:
    heard_first = asyncio.Event()

    async def fail_once_heard(stream: Stream) -> None:
        # What is said on its own stream may overtake what came before on a shared one.
        await heard_first.wait()
        await script(stream)

    upstream = await start_upstream(begin_and(fail_once_heard), count_to_three)

    async with upstream.engine.generate(GENERATION) as generated:
        chunks = [await anext(generated)]
        heard_first.set()
        chunks += [chunk async for chunk in generated]

    assert tokens_of(chunks) == [1, 2, 3]
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == [FinishReason.STOP]
    assert upstream.incidents.happened == [
        f"failed {heard(script, reason, sharing)}",
        "taken over behind 1",
    ]
    assert upstream.load() == [(0, 0), (0, 0)]


async def test_the_successor_is_asked_for_what_is_left_and_nothing_else_changes(
    start_upstream: StartUpstream,
) -> None:
    constraint = OutputConstraint(final_schema_json='{"type": "object"}')
    generation = replace(GENERATION, constraint=constraint)
    upstream = await start_upstream(begin_and(Stream.hang, tokens=2), count_to_three)

    assert await upstream.token_ids(generation) == [1, 2, 3]

    ((first,), (second,)) = (worker.asked for worker in upstream.workers)
    assert second.input_ids == (*first.input_ids, 1, 2)
    left = wire.GenerateRequest()
    left.CopyFrom(first.request)
    left.max_tokens = first.request.max_tokens - 2
    left.generated_tokens = 2
    assert second.request == left


async def test_a_worker_that_dies_is_replaced(start_upstream: StartUpstream) -> None:
    upstream = await start_upstream(begin_and(Stream.hang), count_to_three)

    async with upstream.engine.generate(GENERATION) as chunks:
        received = [await anext(chunks)]
        await upstream.workers[0].die()
        received += [chunk async for chunk in chunks]

    assert tokens_of(received) == [1, 2, 3]
    assert upstream.incidents.happened == ["failed unreachable", "taken over behind 1"]


@pytest.mark.parametrize(
    ("last", "max_output_tokens", "reason"),
    [(200002, 10, FinishReason.STOP), (2, 2, FinishReason.MAX_OUTPUT_TOKENS)],
)
async def test_a_turn_of_which_only_the_end_was_not_said_needs_nobody(
    start_upstream: StartUpstream, last: int, max_output_tokens: int, reason: FinishReason
) -> None:
    async def say_all_but_that_it_was_all(stream: Stream) -> None:
        await stream.send([1, last])
        await stream.hang()

    upstream = await start_upstream(say_all_but_that_it_was_all, count_to_three)

    chunks = await upstream.generate(replace(GENERATION, max_output_tokens=max_output_tokens))

    assert (tokens_of(chunks), chunks[-1].finish_reason) == ([1, last], reason)
    assert upstream.workers[1].asked == []


async def test_input_that_was_cached_is_what_the_first_worker_found(
    start_upstream: StartUpstream,
) -> None:
    async def begin(stream: Stream) -> None:
        await stream.send([1], cached_tokens=2)

    async def go_on(stream: Stream) -> None:
        await stream.send([2], cached_tokens=3)
        await stream.finish()

    upstream = await start_upstream(begin, go_on)

    told = [chunk.cached_tokens for chunk in await upstream.generate()]

    assert [each for each in told if each is not None] == [2]


async def test_a_worker_that_took_the_half_turn_for_prompt_is_not_believed(
    start_upstream: StartUpstream,
) -> None:
    """One of an older version, in the middle of an upgrade."""

    async def begin_anew(stream: Stream) -> None:
        started = wire.Started(engine="old")
        await stream.send_chunk(wire.GenerateChunk(started=started, token_ids=[1]))
        await stream.hang()

    upstream = await start_upstream(begin_and(Stream.hang), begin_anew, count_to_three)

    assert await upstream.token_ids() == [1, 2, 3]
    assert upstream.incidents.happened[2:] == ["failed contract_violation", "taken over behind 1"]


async def test_a_worker_that_drains_hands_its_generations_over(
    start_upstream: StartUpstream,
) -> None:
    async def drain(stream: Stream) -> None:
        error = wire.Error(code=wire.Error.DRAINING, message="the worker stops")
        await stream.send_chunk(wire.GenerateChunk(token_ids=[2], error=error))

    upstream = await start_upstream(begin_and(drain), count_to_three)

    assert await upstream.token_ids() == [1, 2, 3]
    assert upstream.incidents.happened == ["failed draining", "taken over behind 2"]


async def test_a_generation_that_kills_whoever_goes_on_with_it_is_given_up(
    start_upstream: StartUpstream,
) -> None:
    async def die(stream: Stream) -> None:
        raise RuntimeError("the engine did not survive it")

    upstream = await start_upstream(*[begin_and(die)] * 5)

    received, error = await received_until_failure(upstream)

    assert tokens_of(received) == [1, 2, 3, 4]  # of the first one, and of three more
    assert error.failure is UpstreamFailure.ENGINE_FAILED
    assert upstream.workers[4].asked == []
    assert upstream.load() == [(0, 0)] * 5


async def test_three_workers_in_a_row_that_add_nothing_are_enough(
    start_upstream: StartUpstream,
) -> None:
    async def fail(stream: Stream) -> None:
        await stream.fail(wire.Error.ENGINE_FAILED)

    upstream = await start_upstream(begin_and(fail), fail, fail, count_to_three)

    received, error = await received_until_failure(upstream)

    assert (tokens_of(received), error.failure) == ([1], UpstreamFailure.ENGINE_FAILED)
    assert upstream.workers[3].asked == []


async def test_without_anybody_else_the_same_worker_may_try_again(
    start_upstream: StartUpstream,
) -> None:
    async def fail_once(stream: Stream) -> None:
        if not stream.asked.request.generated_tokens:
            await stream.send([1])
            await stream.fail(wire.Error.ENGINE_FAILED)
        else:
            await count_to(stream, 3)

    upstream = await start_upstream(fail_once)

    assert await upstream.token_ids() == [1, 2, 3]


async def test_when_nobody_comes_back_the_generation_fails(start_upstream: StartUpstream) -> None:
    async def drain(stream: Stream) -> None:
        await stream.fail(wire.Error.DRAINING)

    upstream = await start_upstream(begin_and(drain))

    received, error = await received_until_failure(upstream)

    assert (tokens_of(received), error.failure) == ([1], UpstreamFailure.ENGINE_FAILED)


def test_a_turn_knows_what_is_left_of_it() -> None:
    turn = Turn(GENERATION)
    assert turn.rest() is GENERATION
    assert turn.ending() is None

    turn.add([4, 5])
    turn.add([6])

    assert turn.rest() == replace(
        GENERATION,
        prompt=array("i", [*GENERATION.prompt, 4, 5, 6]),
        max_output_tokens=7,
        generated_tokens=3,
    )


async def test_a_stream_outlives_a_rolling_update_of_all_workers(
    start_upstream: StartUpstream,
) -> None:
    upstream = await start_upstream(*[begin_and(draining)] * 8, partial(count_to, tokens=9))

    assert await upstream.token_ids() == list(range(1, 10))
    assert upstream.incidents.happened.count("failed draining") == 8


async def test_workers_that_die_are_counted_beside_those_that_drain(
    start_upstream: StartUpstream,
) -> None:
    scripts = [begin_and(draining), begin_and(end_early)] * 4
    upstream = await start_upstream(*scripts, partial(count_to, tokens=9))

    received, error = await received_until_failure(upstream)

    assert tokens_of(received) == list(range(1, 9))
    assert error.failure is UpstreamFailure.ENGINE_FAILED
