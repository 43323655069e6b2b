"""Generations that are asked for on a shared stream. What holds everywhere is in the other files."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import anyio
import grpc
import pytest

from gateway.generation import Function, OutputConstraint, UpstreamError, UpstreamFailure
from gateway.upstream.attempt import LARGEST_SHARED_BYTES
from gateway.upstream.codec import encode_request
from gateway.upstream.shared_stream import SharedStream
from tests.gateway.upstream.conftest import GENERATION, Sharing, StartUpstream, Upstream, until
from tests.gateway.upstream.fake_triton import Stream, count_to, count_to_three
from wire.v1 import generation_pb2 as wire


@pytest.fixture
def sharing() -> Sharing:
    return Sharing.REQUESTS


@pytest.fixture(autouse=True)
def sharing_from_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstream.sharing.SHARE_FROM", 1)


async def _count_when(go: asyncio.Event, stream: Stream) -> None:
    await stream.send()
    await go.wait()
    await count_to(stream, 3)


_LARGE = " " * LARGEST_SHARED_BYTES


class _Traced:
    """Follows a generation as one does whose trace is told."""

    headers: Sequence[tuple[str, str]] = (("traceparent", "00-1-1-01"),)

    def attempt(self, worker: str, *, generated_tokens: int) -> _Traced:
        return self

    def ended(self, failure: str) -> None:
        pass


async def test_no_generation_needs_a_stream_of_its_own(start_upstream: StartUpstream) -> None:
    go = asyncio.Event()
    upstream = await start_upstream(partial(_count_when, go))
    (worker,) = upstream.workers
    answers = asyncio.gather(*(upstream.token_ids() for _ in range(40)))
    await until(lambda: len(worker.asked) == 40)

    assert worker.streams == 1
    go.set()
    assert await answers == [[1, 2, 3]] * 40
    assert worker.cancelled == 0


async def test_a_stream_that_cannot_be_opened_is_taken_over_from(
    start_upstream: StartUpstream,
) -> None:
    upstream = await start_upstream(count_to_three, count_to_three)
    refuses, _ = upstream.workers
    refuses.shares = False

    assert await asyncio.gather(*(upstream.token_ids() for _ in range(5))) == [[1, 2, 3]] * 5
    assert set(upstream.incidents.happened) == {"failed contract_violation", "taken over"}


async def test_a_worker_of_which_nothing_is_known_is_asked_on_streams_of_their_own(
    start_upstream: StartUpstream,
) -> None:
    go = asyncio.Event()
    upstream = await start_upstream(partial(_count_when, go), probe_interval_s=0.05)
    (worker,) = upstream.workers
    worker.takes_requests = False  # an older one has taken its place
    await until(lambda: not _known(upstream))
    answers = asyncio.gather(*(upstream.token_ids() for _ in range(3)))
    await until(lambda: len(worker.asked) == 3)
    assert worker.streams == 4
    go.set()

    assert await answers == [[1, 2, 3]] * 3


def _known(upstream: Upstream) -> bool:
    return all(each.sharing.takes_requests for each in upstream.pool._workers.values())


@pytest.mark.parametrize(
    "generation",
    [
        replace(GENERATION, prompt=[1] * (LARGEST_SHARED_BYTES // 4 + 1)),
        replace(GENERATION, constraint=OutputConstraint(final_schema_json=_LARGE)),
        replace(GENERATION, constraint=OutputConstraint([Function("f", _LARGE)])),
        replace(GENERATION, top_logprobs=0),
    ],
    ids=["a long prompt", "a large schema", "a large function", "log probabilities"],
)
async def test_what_is_large_has_a_stream_of_its_own(
    start_upstream: StartUpstream, generation: Any
) -> None:
    upstream = await start_upstream(Stream.hang)
    (worker,) = upstream.workers
    async with upstream.engine.generate(generation):
        await until(lambda: len(worker.asked) == 1)
        assert worker.streams == 1 + len(worker.shared)
    await until(lambda: worker.cancelled == 1)


async def test_what_is_traced_has_a_stream_that_says_so(start_upstream: StartUpstream) -> None:
    upstream = await start_upstream(Stream.hang)
    (worker,) = upstream.workers
    async with upstream.engine.generate(GENERATION, _Traced()):
        await until(lambda: len(worker.asked) == 1)
        assert worker.streams == 2


async def test_what_triton_refuses_is_no_matter_to_others(start_upstream: StartUpstream) -> None:
    go = asyncio.Event()

    async def script(stream: Stream) -> None:
        if stream.asked.request.request_id == "refused":
            await stream.triton_error("unexpected shape")
        else:
            await _count_when(go, stream)

    upstream = await start_upstream(script, count_to_three)
    worker, _ = upstream.workers
    stays = asyncio.gather(upstream.token_ids())
    await until(lambda: len(worker.asked) == 1)

    assert await upstream.token_ids(replace(GENERATION, request_id="refused")) == [1, 2, 3]
    assert upstream.incidents.happened == ["failed triton_error", "taken over"]
    go.set()
    assert (await stays)[0] == [1, 2, 3]
    assert worker.cancelled == 0


async def test_a_cancellation_that_triton_refuses_is_no_matter_to_others(
    start_upstream: StartUpstream,
) -> None:
    """It has been told to stop, and takes nothing any more."""
    go = asyncio.Event()
    upstream = await start_upstream(partial(_count_when, go))
    (worker,) = upstream.workers
    worker.refuses = True
    stays = asyncio.gather(upstream.token_ids())
    await until(lambda: len(worker.asked) == 1)
    async with upstream.engine.generate(GENERATION) as leaves:
        await anext(leaves)
    await anyio.sleep(0.1)
    go.set()

    assert (await stays)[0] == [1, 2, 3]
    assert upstream.incidents.happened == []
    await until(lambda: worker.streams == 0)


async def test_what_is_refused_to_who_has_left_is_no_matter_to_others(
    start_upstream: StartUpstream,
) -> None:
    go, left = asyncio.Event(), asyncio.Event()

    async def script(stream: Stream) -> None:
        if stream.asked.request.request_id == "refused":
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await stream.triton_error("too late")
            left.set()
        else:
            await _count_when(go, stream)

    upstream = await start_upstream(script)
    (worker,) = upstream.workers
    stays = asyncio.gather(upstream.token_ids())
    async with upstream.engine.generate(replace(GENERATION, request_id="refused")):
        await until(lambda: len(worker.asked) == 2)
    await left.wait()
    go.set()

    assert (await stays)[0] == [1, 2, 3]
    assert upstream.incidents.happened == []


async def test_a_stream_of_many_requests_is_replaced(
    start_upstream: StartUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.upstream.shared_stream.MOST_REQUESTS", 10)
    upstream = await start_upstream(count_to_three)
    (worker,) = upstream.workers
    for _ in range(20):
        assert await asyncio.gather(*(upstream.token_ids() for _ in range(5))) == [[1, 2, 3]] * 5
    assert 5 <= worker.shared_asked_for <= 10
    await until(lambda: worker.streams == len(worker.shared) == 1)
    assert upstream.incidents.happened == []


async def test_a_full_stream_is_replaced_though_there_be_few(
    start_upstream: StartUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.upstream.shared_stream.MOST_REQUESTS", 3)
    upstream = await start_upstream(count_to_three)
    (worker,) = upstream.workers
    assert await upstream.token_ids() == [1, 2, 3]
    monkeypatch.setattr("gateway.upstream.sharing.SHARE_FROM", 4)
    for _ in range(20):
        assert await upstream.token_ids() == [1, 2, 3]
    assert worker.shared_asked_for > 3


async def test_what_triton_refuses_need_not_be_cancelled(start_upstream: StartUpstream) -> None:
    async def script(stream: Stream) -> None:
        await stream.triton_error("it stops")
        await stream.hang()

    upstream = await start_upstream(script, count_to_three)
    worker, _ = upstream.workers
    assert await upstream.token_ids() == [1, 2, 3]
    await anyio.sleep(0.1)
    assert worker.cancelled == 0


async def test_a_deadline_is_ours_to_keep(start_upstream: StartUpstream) -> None:
    upstream = await start_upstream(Stream.hang)
    (worker,) = upstream.workers

    soon = replace(GENERATION, deadline_unix_ms=round(time.time() * 1000) + 100)
    with pytest.raises(UpstreamError) as raised:
        async with upstream.engine.generate(soon) as chunks:
            await anext(chunks)

    assert raised.value.failure is UpstreamFailure.TIMEOUT
    await until(lambda: worker.cancelled == 1)


async def test_a_stream_that_is_used_now_and_then_stays(start_upstream: StartUpstream) -> None:
    upstream = await start_upstream(count_to_three, probe_interval_s=0.2)
    (worker,) = upstream.workers
    for _ in range(20):
        assert await upstream.token_ids() == [1, 2, 3]
        await anyio.sleep(0.05)
    assert worker.shared_asked_for == 1
    await until(lambda: worker.streams == 0)


async def test_a_worker_that_dies_is_taken_over_from_by_all(start_upstream: StartUpstream) -> None:
    async def script(stream: Stream) -> None:
        await stream.send([1])
        await stream.hang()

    upstream = await start_upstream(script, count_to_three)
    dies, _ = upstream.workers
    answers = asyncio.gather(*(upstream.token_ids() for _ in range(10)))
    await until(lambda: len(dies.asked) > 0)
    await anyio.sleep(0.05)
    await dies.die()

    assert await answers == [[1, 2, 3]] * 10


class _Call:
    """Writes at once; reads for ever."""

    def __init__(self) -> None:
        self.written: list[wire.GenerateRequest] = []

    async def write(self, request: Any) -> None:
        self.written.append(wire.GenerateRequest.FromString(request.raw_input_contents[1][4:]))

    async def read(self) -> Any:
        await asyncio.Event().wait()

    def cancel(self) -> None:
        pass


async def test_who_leaves_before_it_is_asked_for_is_neither_asked_for_nor_cancelled() -> None:
    call = _Call()
    stream = SharedStream("s-1", call, model_name="m")
    request = encode_request(replace(GENERATION, request_id="r"), model_name="m")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stream.run)
        await anyio.sleep(0.01)
        leaves, asks, cancels = stream.seat(), stream.seat(), stream.seat()
        for seat in (leaves, asks, cancels):
            seat.ask("r", request)
        leaves.leave(said_all=False)
        await anyio.sleep(0.01)
        cancels.leave(said_all=False)
        asks.leave(said_all=True)
        await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()

    shared, *rest = call.written
    assert shared.shared_stream
    assert [(each.request_id, list(each.cancel)) for each in rest] == [
        ("r", []),
        ("r", []),
        ("s-1", [3]),
    ]


class _Ended(_Call):
    async def read(self) -> Any:
        return grpc.aio.EOF


async def test_a_stream_that_never_opened_is_missed_by_nobody() -> None:
    stream = SharedStream("s-1", _Ended(), model_name="m")
    seat = stream.seat()  # of one that has its own stream
    stream.retire()
    await stream.run()

    with anyio.move_on_after(0.05) as waits:
        await seat.read(said_all=False)
    assert waits.cancelled_caught
