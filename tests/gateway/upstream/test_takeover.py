"""Workers that fail before the first token: another one takes over."""

from __future__ import annotations

import logging
import socket
from typing import cast

import anyio
import pytest

from gateway.generation import Chunk, FinishReason, UpstreamError, UpstreamFailure
from gateway.upstream.attempt import UpstreamTimeouts
from gateway.upstream.failures import Reason
from tests.gateway.upstream.conftest import (
    GENERATION,
    Sharing,
    StartUpstream,
    Upstream,
    until,
)
from tests.gateway.upstream.fake_triton import (
    FakeTriton,
    Script,
    Stream,
    bytes_element,
    count_to_three,
)
from wire.v1 import generation_pb2 as wire


async def end_early(stream: Stream) -> None:
    await stream.send()


async def triton_error(stream: Stream) -> None:
    await stream.triton_error("Stub process is not healthy")


async def rpc_error(stream: Stream) -> None:
    raise RuntimeError("grpc.aio.server answers UNKNOWN")


async def skip_a_chunk(stream: Stream) -> None:
    await stream.send()
    stream.seq += 1
    await stream.send([1])


async def no_start(stream: Stream) -> None:
    await stream.send([1], started=False)


async def start_twice(stream: Stream) -> None:
    await stream.send()
    await stream.send(started=True)


async def no_output(stream: Stream) -> None:
    await stream.send_output()


async def empty_output(stream: Stream) -> None:
    await stream.send_output(b"")


async def garbage(stream: Stream) -> None:
    await stream.send_output(bytes_element(b"\xff\xff\xff"))


async def lose_tokens(stream: Stream) -> None:
    await stream.send()
    stream.tokens += 5
    await stream.finish()


async def finish_for_no_reason(stream: Stream) -> None:
    await stream.send()
    await stream.finish(wire.Finished.REASON_UNSPECIFIED)


async def say_too_much(stream: Stream) -> None:
    await stream.send(range(1, GENERATION.max_output_tokens + 2))


async def give_up(stream: Stream) -> None:
    await stream.send()
    await stream.finish(wire.Finished.CANCELLED)


async def overloaded(stream: Stream) -> None:
    await stream.fail(wire.Error.OVERLOADED, retry_after_ms=700)


async def overloaded_for_long(stream: Stream) -> None:
    await stream.fail(wire.Error.OVERLOADED, retry_after_ms=9_000)


async def draining(stream: Stream) -> None:
    await stream.fail(wire.Error.DRAINING)


async def engine_failed(stream: Stream) -> None:
    await stream.fail(wire.Error.ENGINE_FAILED)


async def fail_in_a_way_of_the_future(stream: Stream) -> None:
    await stream.fail(cast(wire.Error.Code, 99))


FAILURES = [
    (Stream.hang, "silent"),
    (end_early, "ended_early"),
    (triton_error, "triton_error"),
    (rpc_error, "triton_error"),
    (skip_a_chunk, "contract_violation"),
    (no_start, "contract_violation"),
    (start_twice, "contract_violation"),
    (no_output, "contract_violation"),
    (empty_output, "contract_violation"),
    (garbage, "contract_violation"),
    (lose_tokens, "contract_violation"),
    (finish_for_no_reason, "contract_violation"),
    (say_too_much, "contract_violation"),
    (give_up, "ended_early"),
    (overloaded, "overloaded"),
    (draining, "draining"),
    (engine_failed, "engine_failed"),
    (fail_in_a_way_of_the_future, "engine_failed"),
]


def tokens_of(chunks: list[Chunk]) -> list[int]:
    return [token_id for chunk in chunks for token_id in chunk.token_ids]


async def refusal(upstream: Upstream) -> UpstreamError:
    with pytest.raises(UpstreamError) as raised:
        await upstream.generate()
    return raised.value


def heard(script: Script, reason: str, sharing: Sharing) -> str:
    """Of a generation without a stream of its own no end can be seen, and nothing more is heard."""
    unseen = script is end_early and sharing is Sharing.REQUESTS
    return Reason.SILENT.value if unseen else reason


@pytest.mark.parametrize(("script", "reason"), FAILURES)
async def test_a_worker_that_fails_before_its_first_token_is_replaced(
    start_upstream: StartUpstream, sharing: Sharing, script: Script, reason: str
) -> None:
    upstream = await start_upstream(script, count_to_three)

    chunks = await upstream.generate()

    assert tokens_of(chunks) == [1, 2, 3]
    assert chunks[-1].finish_reason is FinishReason.STOP
    assert chunks[-1].worker == upstream.workers[1].address
    assert upstream.incidents.happened == [f"failed {heard(script, reason, sharing)}", "taken over"]
    assert upstream.load() == [(0, 0), (0, 0)]


async def test_a_worker_that_dies_before_its_first_token_is_replaced(
    start_upstream: StartUpstream,
) -> None:
    upstream = await start_upstream(count_to_three, count_to_three)
    await upstream.workers[0].die()

    assert await upstream.token_ids() == [1, 2, 3]
    assert upstream.incidents.happened == ["failed unreachable", "taken over"]


async def test_a_worker_that_dies_while_it_reads_the_prompt_is_replaced(
    start_upstream: StartUpstream,
) -> None:
    upstream = await start_upstream(Stream.hang, count_to_three)
    received: list[int] = []

    async def generate() -> None:
        engine = upstream.engine_with(UpstreamTimeouts())
        async with engine.generate(GENERATION) as chunks:
            async for chunk in chunks:
                received.extend(chunk.token_ids)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(generate)
        await until(lambda: len(upstream.workers[0].asked) == 1)
        await upstream.workers[0].die()

    assert received == [1, 2, 3]
    assert upstream.incidents.happened == ["failed unreachable", "taken over"]


async def test_a_worker_that_accepts_connections_and_nothing_else_is_replaced(
    start_upstream: StartUpstream,
) -> None:
    upstream = await start_upstream(count_to_three, count_to_three)
    await upstream.workers[0].die()
    with socket.create_server(("127.0.0.1", upstream.workers[0].port)):
        assert await upstream.token_ids() == [1, 2, 3]

    # Unreachable, or silent if the connection was still believed in.
    happened = [incident.split()[0] for incident in upstream.incidents.happened]
    assert happened == ["failed", "taken"]


async def test_a_message_after_the_last_chunk_harms_the_worker_and_not_the_tenant(
    start_upstream: StartUpstream, sharing: Sharing
) -> None:
    async def say_too_much(stream: Stream) -> None:
        await count_to_three(stream)
        await stream.send([4])

    upstream = await start_upstream(say_too_much)

    assert await upstream.token_ids() == [1, 2, 3]
    # What was asked for on a shared stream is over with its last chunk: nobody hears more.
    heard = sharing is not Sharing.REQUESTS
    assert upstream.incidents.happened == ["failed contract_violation"] * heard
    assert upstream.pool.ready() != heard


async def test_when_all_are_overloaded_the_tenant_hears_the_shortest_time_to_wait(
    start_upstream: StartUpstream,
) -> None:
    upstream = await start_upstream(overloaded_for_long, overloaded, overloaded_for_long)

    error = await refusal(upstream)

    assert (error.failure, error.retry_after_ms) == (UpstreamFailure.OVERLOADED, 700)
    assert upstream.pool.ready()


async def test_when_all_are_draining_there_is_no_worker(start_upstream: StartUpstream) -> None:
    upstream = await start_upstream(draining, draining)

    assert (await refusal(upstream)).failure is UpstreamFailure.NO_WORKER
    assert not upstream.pool.ready()


async def test_three_failures_are_enough(start_upstream: StartUpstream) -> None:
    upstream = await start_upstream(*[engine_failed] * 3, count_to_three)

    assert (await refusal(upstream)).failure is UpstreamFailure.ENGINE_FAILED
    assert upstream.workers[3].asked == []


@pytest.mark.parametrize(
    ("code", "failure", "logged"),
    [
        (wire.Error.INVALID_ARGUMENT, UpstreamFailure.ENGINE_FAILED, logging.ERROR),
        (wire.Error.CONTEXT_TOO_LONG, UpstreamFailure.CONTEXT_TOO_LONG, logging.WARNING),
        (wire.Error.DEADLINE, UpstreamFailure.TIMEOUT, logging.WARNING),
    ],
)
async def test_what_no_worker_would_do_is_not_asked_of_another(
    start_upstream: StartUpstream,
    caplog: pytest.LogCaptureFixture,
    code: wire.Error.Code,
    failure: UpstreamFailure,
    logged: int,
) -> None:
    upstream = await start_upstream(lambda stream: stream.fail(code), count_to_three)

    assert (await refusal(upstream)).failure is failure
    assert upstream.workers[1].asked == []
    assert upstream.incidents.happened == []
    assert [record.levelno for record in caplog.records if "resp-1" in record.message] == [logged]


async def test_a_failure_is_one_warning_that_names_generation_and_worker(
    start_upstream: StartUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream = await start_upstream(engine_failed, count_to_three)
    caplog.clear()

    await upstream.generate()

    worker = upstream.workers[0].address
    assert [record.message for record in caplog.records] == [
        f"generation resp-1 failed on worker {worker} after 0 tokens: engine_failed: as scripted"
    ]


async def test_a_worker_that_comes_back_gets_generations_again(
    start_upstream: StartUpstream,
) -> None:
    upstream = await start_upstream(count_to_three, probe_interval_s=0.5)
    worker = upstream.workers[0]
    await worker.die()

    await until(lambda: not upstream.pool.ready())
    assert (await refusal(upstream)).failure is UpstreamFailure.NO_WORKER
    async with FakeTriton(port=worker.port):
        await until(upstream.pool.ready, timeout_s=10)
        assert await upstream.token_ids() == [1, 2, 3]


@pytest.mark.parametrize("refuse", [draining, overloaded])
async def test_a_request_finds_the_one_worker_of_many_that_takes_it(
    start_upstream: StartUpstream, refuse: Script
) -> None:
    upstream = await start_upstream(*[refuse] * 7, count_to_three)
    assert await upstream.token_ids() == [1, 2, 3]
