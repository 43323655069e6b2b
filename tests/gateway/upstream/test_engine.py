"""One generation on one worker: what is asked, what is heard, and who is told to stop."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest

from gateway.generation import (
    Chunk,
    FinishReason,
    Function,
    OutputConstraint,
    Sampling,
    TokenLogprob,
    UpstreamError,
    UpstreamFailure,
)
from gateway.upstream.attempt import UpstreamTimeouts
from gateway.upstream.endpoints import Endpoints
from gateway.upstream.engine import TritonEngine
from gateway.upstream.workers import WorkerPool
from tests.gateway.upstream.conftest import GENERATION, StartUpstream, until
from tests.gateway.upstream.fake_triton import Asked, Stream, count_to_three
from wire.v1 import generation_pb2 as wire


async def test_a_generation_arrives_at_the_worker_as_it_was_asked_for(
    start_upstream: StartUpstream,
) -> None:
    upstream = await start_upstream(count_to_three)
    prompt = [token_id % 201_088 for token_id in range(100_000)]

    await upstream.generate(
        replace(
            GENERATION,
            prompt=prompt,
            sampling=Sampling(0.5, 0.25, -3, 1.5, -1.5),
            deadline_unix_ms=2_000_000_000_000,
        )
    )

    assert upstream.workers[0].asked == [
        Asked(
            "gpt-oss-120b",
            tuple(prompt),
            wire.GenerateRequest(
                request_id="resp-1",
                max_tokens=10,
                sampling=wire.Sampling(
                    temperature=0.5,
                    top_p=0.25,
                    seed=-3,
                    presence_penalty=1.5,
                    frequency_penalty=-1.5,
                ),
                stop_token_ids=[200002, 200012],
                cache_salt="salt",
                deadline_unix_ms=2_000_000_000_000,
            ),
        )
    ]


async def test_a_worker_hears_that_nobody_reads_along(start_upstream: StartUpstream) -> None:
    upstream = await start_upstream(count_to_three)

    await upstream.generate(replace(GENERATION, chunk_interval_ms=500))

    assert upstream.workers[0].asked[0].request.delivery.interval_ms == 500


async def test_a_constraint_arrives_at_the_worker_word_for_word(
    start_upstream: StartUpstream,
) -> None:
    upstream = await start_upstream(count_to_three)
    constraint = OutputConstraint(
        (Function("f", '{"type":"object"}'), Function("g", "")), True, "{}"
    )

    await upstream.generate(replace(GENERATION, constraint=constraint))
    await upstream.generate(GENERATION)

    asked, unconstrained = (asked.request for asked in upstream.workers[0].asked)
    assert asked.constraint == wire.OutputConstraint(
        functions=[
            wire.OutputConstraint.Function(name="f", parameters_json='{"type":"object"}'),
            wire.OutputConstraint.Function(name="g"),
        ],
        call_required=True,
        final_schema_json="{}",
    )
    assert not unconstrained.HasField("constraint")
    assert not unconstrained.HasField("top_logprobs")


async def test_log_probabilities_come_with_their_tokens(start_upstream: StartUpstream) -> None:
    async def script(stream: Stream) -> None:
        await stream.send()
        stream.tokens += 2
        await stream.send_chunk(
            wire.GenerateChunk(
                token_ids=[1, 2],
                logprobs=[
                    wire.TokenLogprob(
                        logprob=-0.5,
                        top=[wire.TokenLogprob.Alternative(token_id=7, logprob=-0.25)],
                    ),
                    wire.TokenLogprob(logprob=float("-inf")),
                ],
            )
        )
        await stream.finish()

    upstream = await start_upstream(script)
    chunks = await upstream.generate(replace(GENERATION, top_logprobs=0))

    assert upstream.workers[0].asked[0].request.HasField("top_logprobs")
    assert [chunk.logprobs for chunk in chunks] == [
        (),
        (TokenLogprob(-0.5, ((7, -0.25),)), TokenLogprob(-9999.0, ())),
        (),
    ]


async def test_tokens_without_the_log_probabilities_asked_for_break_the_contract(
    start_upstream: StartUpstream,
) -> None:
    upstream = await start_upstream(count_to_three)
    with pytest.raises(UpstreamError) as raised:
        await upstream.generate(replace(GENERATION, top_logprobs=3))
    assert raised.value.failure is UpstreamFailure.ENGINE_FAILED
    assert upstream.incidents.happened == ["failed contract_violation"]


async def test_a_constraint_that_a_worker_refuses_is_the_tenants_affair(
    start_upstream: StartUpstream,
) -> None:
    async def script(stream: Stream) -> None:
        await stream.fail(wire.Error.INVALID_ARGUMENT)

    upstream = await start_upstream(script, count_to_three)
    with pytest.raises(UpstreamError) as raised:
        await upstream.generate(
            replace(GENERATION, constraint=OutputConstraint(call_required=True))
        )
    assert raised.value.failure is UpstreamFailure.CONSTRAINT_REFUSED
    assert upstream.workers[1].asked == []


async def test_tokens_arrive_in_order_and_the_last_chunk_says_why_it_is_the_last(
    start_upstream: StartUpstream,
) -> None:
    async def script(stream: Stream) -> None:
        await stream.send(cached_tokens=2)
        await stream.send([1, 2])
        await stream.send()
        await stream.send([3])
        await stream.finish(wire.Finished.LENGTH)

    upstream = await start_upstream(script)
    address = upstream.workers[0].address

    assert await upstream.generate() == [
        Chunk(cached_tokens=2, worker=address),
        Chunk((1, 2), worker=address),
        Chunk(worker=address),
        Chunk((3,), worker=address),
        Chunk((), FinishReason.MAX_OUTPUT_TOKENS, 2, address),
    ]
    assert upstream.incidents.happened == []
    assert upstream.workers[0].cancelled == 0


async def test_the_first_chunk_may_be_the_last_one_too(start_upstream: StartUpstream) -> None:
    async def script(stream: Stream) -> None:
        await stream.send_chunk(
            wire.GenerateChunk(
                token_ids=[9],
                started=wire.Started(cached_tokens=1),
                finished=wire.Finished(reason=wire.Finished.STOP, completion_tokens=1),
            )
        )

    upstream = await start_upstream(script)

    assert await upstream.generate() == [
        Chunk((9,), FinishReason.STOP, 1, upstream.workers[0].address)
    ]


async def test_tokens_beside_an_error_are_passed_on_before_it(
    start_upstream: StartUpstream,
) -> None:
    async def fail_with_tokens(stream: Stream) -> None:
        error = wire.Error(code=wire.Error.ENGINE_FAILED)
        await stream.send_chunk(
            wire.GenerateChunk(token_ids=[1, 2], started=wire.Started(), error=error)
        )

    upstream = await start_upstream(fail_with_tokens)
    received: list[int] = []
    with pytest.raises(UpstreamError, match="after 2 tokens") as failed:
        async with upstream.engine.generate(GENERATION) as chunks:
            async for chunk in chunks:
                received += chunk.token_ids

    assert received == [1, 2]
    assert failed.value.failure is UpstreamFailure.ENGINE_FAILED
    assert upstream.load() == [(0, 0)]


async def test_cached_tokens_that_are_known_late_are_said_at_the_end(
    start_upstream: StartUpstream,
) -> None:
    async def wait_in_the_queue(stream: Stream) -> None:
        await stream.send()
        await stream.send_chunk(
            wire.GenerateChunk(finished=wire.Finished(reason=wire.Finished.LENGTH, cached_tokens=2))
        )

    upstream = await start_upstream(wait_in_the_queue)

    assert [chunk.cached_tokens for chunk in await upstream.generate()] == [0, 2]


async def generate_for_ever(stream: Stream) -> None:
    await stream.send([1])
    while True:
        await stream.send([2])
        await anyio.sleep(0.01)


Leave = Callable[[], Awaitable[None]]


async def by_returning() -> None:
    pass


async def by_an_exception() -> None:
    raise ConnectionResetError


async def by_cancellation() -> None:
    await anyio.sleep_forever()


@pytest.mark.parametrize("leave", [by_returning, by_an_exception, by_cancellation])
async def test_a_client_that_leaves_stops_the_worker(
    start_upstream: StartUpstream, leave: Leave
) -> None:
    upstream = await start_upstream(generate_for_ever)

    with anyio.move_on_after(0.1):
        try:
            async with upstream.engine.generate(GENERATION) as chunks:
                await anext(chunks)
                await leave()
        except ConnectionResetError:
            pass

    await until(lambda: upstream.workers[0].cancelled == 1)
    assert upstream.load() == [(0, 0)]


async def test_a_worker_that_is_connected_is_asked_before_anybody_listens(
    start_upstream: StartUpstream,
) -> None:
    upstream = await start_upstream(count_to_three)
    await upstream.token_ids()

    async with upstream.engine.generate(GENERATION) as chunks:
        await until(lambda: len(upstream.workers[0].asked) == 2)
        assert [token async for chunk in chunks for token in chunk.token_ids] == [1, 2, 3]


async def test_a_client_that_leaves_while_its_worker_is_being_asked_stops_it(
    start_upstream: StartUpstream,
) -> None:
    upstream = await start_upstream(count_to_three)
    await upstream.token_ids()

    async def enter() -> None:
        async with upstream.engine.generate(GENERATION):
            raise AssertionError("entered")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(enter)
        await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()

    assert upstream.load() == [(0, 0)]


async def test_a_client_that_leaves_while_the_worker_is_silent_stops_it(
    start_upstream: StartUpstream,
) -> None:
    upstream = await start_upstream(Stream.hang)

    with anyio.CancelScope() as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(upstream.generate)
            await until(lambda: len(upstream.workers[0].asked) == 1)
            client.cancel()

    await until(lambda: upstream.workers[0].cancelled == 1)
    assert upstream.incidents.happened == []


async def test_heartbeats_keep_a_slow_generation_alive(start_upstream: StartUpstream) -> None:
    async def script(stream: Stream) -> None:
        await stream.send()
        for _ in range(10):
            await anyio.sleep(0.05)
            await stream.send()
        await stream.send([1])
        await stream.finish()

    upstream = await start_upstream(script)

    assert await upstream.token_ids() == [1]


async def test_a_slow_reader_is_not_mistaken_for_a_silent_worker(
    start_upstream: StartUpstream,
) -> None:
    upstream = await start_upstream(count_to_three)
    engine = upstream.engine_with(UpstreamTimeouts(idle_s=0.05, first_token_s=0.2))

    async with engine.generate(GENERATION) as chunks:
        received = [await anext(chunks)]
        await anyio.sleep(0.3)
        received += [chunk async for chunk in chunks]

    # What came on a shared stream meanwhile has become one chunk.
    assert [token_id for chunk in received for token_id in chunk.token_ids] == [1, 2, 3]
    assert received[-1].finish_reason is not None


async def test_a_worker_that_only_sends_heartbeats_is_given_up_at_the_first_token_limit(
    start_upstream: StartUpstream,
) -> None:
    async def script(stream: Stream) -> None:
        await stream.send()
        while True:
            await anyio.sleep(0.02)
            await stream.send()

    upstream = await start_upstream(script)
    engine = upstream.engine_with(UpstreamTimeouts(idle_s=5, first_token_s=0.2))

    with pytest.raises(UpstreamError) as raised:
        async with engine.generate(GENERATION) as chunks:
            async for _ in chunks:
                pass

    assert raised.value.failure is UpstreamFailure.TIMEOUT
    assert upstream.pool.ready()
    assert upstream.load() == [(0, 0)]
    await until(lambda: upstream.workers[0].cancelled == 1)


async def test_a_first_token_may_be_held_back_behind_that_limit(
    start_upstream: StartUpstream,
) -> None:
    async def script(stream: Stream) -> None:
        await stream.send()
        await anyio.sleep(0.4)
        await count_to_three(stream)

    upstream = await start_upstream(script)
    engine = upstream.engine_with(UpstreamTimeouts(idle_s=5, first_token_s=0.2))

    async with engine.generate(replace(GENERATION, chunk_interval_ms=1_000)) as chunks:
        received = [token_id async for chunk in chunks for token_id in chunk.token_ids]
    assert received == [1, 2, 3]


@pytest.mark.parametrize("script", [generate_for_ever, Stream.hang])
async def test_a_deadline_ends_a_generation(
    start_upstream: StartUpstream, script: Callable[[Stream], Awaitable[None]]
) -> None:
    upstream = await start_upstream(script)
    engine = upstream.engine_with(UpstreamTimeouts())
    generation = replace(
        GENERATION,
        max_output_tokens=100_000,
        deadline_unix_ms=int((time.time() + 0.2) * 1000),
    )

    with pytest.raises(UpstreamError) as raised:
        async with engine.generate(generation) as chunks:
            async for _ in chunks:
                pass

    assert raised.value.failure is UpstreamFailure.TIMEOUT
    assert upstream.pool.ready()
    assert upstream.load() == [(0, 0)]
    await until(lambda: upstream.workers[0].cancelled == 1)


async def test_without_a_worker_a_generation_is_refused_at_once() -> None:
    # Nothing listens on port 1, and nobody probed it.
    async with WorkerPool(Endpoints(["127.0.0.1:1"])) as pool:
        with pytest.raises(UpstreamError) as raised, anyio.fail_after(0.1):
            async with TritonEngine(pool).generate(GENERATION):
                raise AssertionError("entered")

    assert raised.value.failure is UpstreamFailure.NO_WORKER


async def test_closing_the_pool_is_a_failure_and_not_a_cancellation(
    start_upstream: StartUpstream,
) -> None:
    upstream = await start_upstream(generate_for_ever)

    with pytest.raises(UpstreamError) as raised:
        async with upstream.engine.generate(GENERATION) as chunks:
            await anext(chunks)
            await upstream.pool.__aexit__(None, None, None)
            async for _ in chunks:
                pass

    assert raised.value.failure is UpstreamFailure.ENGINE_FAILED


async def test_a_worker_that_says_it_failed_is_not_cancelled_in_the_middle_of_its_end(
    start_upstream: StartUpstream,
) -> None:
    async def fail_slowly(stream: Stream) -> None:
        await stream.send([1])
        await stream.fail(wire.Error.ENGINE_FAILED)
        await anyio.sleep(0.05)  # Triton closes a stream a moment after its last message

    upstream = await start_upstream(fail_slowly)
    with pytest.raises(UpstreamError):
        await upstream.generate()

    assert upstream.workers[0].cancelled == 0
