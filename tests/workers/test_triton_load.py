"""A busy worker, through a real Triton: queue, overload, heartbeats, cancellation, silence."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from tests.workers.conftest import MAX_QUEUED, MAX_RUNNING
from tests.workers.prompts import user
from tests.workers.triton_client import TritonClient, greedy, model_infer_request
from wire.v1 import generation_pb2 as wire

_ENDLESS = user('SIM: {"repeat": 1000000, "tokens_per_second": 50}')
_STUCK_IN_THE_QUEUE = user('SIM: {"queue_ms": 600000}')


async def test_a_cancelled_stream_stops_the_engine(triton: TritonClient) -> None:
    async with triton.stream(_ENDLESS, greedy()) as stream:
        await stream.receive()
        await triton.until("worker_running_requests", lambda running: running == 1)
    cancelled_at = time.monotonic()

    await triton.idle()

    # 250 ms by the contract, and as much again for the metrics and a slow machine.
    assert time.monotonic() - cancelled_at < 0.5


async def test_a_generation_that_waits_sends_heartbeats(triton: TritonClient) -> None:
    async with triton.stream(user('SIM: {"queue_ms": 500}'), greedy()) as stream:
        answer = await stream.rest()

    answer.check_contract()
    first, second = answer.chunks[:2]
    assert (list(first.token_ids), first.load.queued) == ([], 1)
    assert (list(second.token_ids), second.load.queued) == ([], 1)
    assert first.started.queue_ms < 500 <= answer.finished.queue_ms


async def test_a_full_worker_refuses_and_says_when_to_come_back(triton: TritonClient) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(MAX_RUNNING + MAX_QUEUED):
            await stack.enter_async_context(triton.stream(_STUCK_IN_THE_QUEUE, greedy()))
        await triton.until(
            "worker_queued_requests", lambda queued: queued == MAX_RUNNING + MAX_QUEUED
        )

        answer = await triton.generate(user("Hi"), greedy())

    assert answer.error.code == wire.Error.OVERLOADED
    assert answer.error.retry_after_ms > 0
    assert answer.chunks[0].load.queued == MAX_RUNNING + MAX_QUEUED


async def test_who_waits_is_served_when_a_place_is_free(triton: TritonClient) -> None:
    async with AsyncExitStack() as stack:
        running = [
            await stack.enter_async_context(triton.stream(_ENDLESS, greedy()))
            for _ in range(MAX_RUNNING)
        ]
        await triton.until("worker_running_requests", lambda count: count == MAX_RUNNING)
        waiting = await stack.enter_async_context(triton.stream(user("Hi"), greedy()))
        await triton.until("worker_queued_requests", lambda count: count == 1)
        running[0].cancel()

        answer = await waiting.rest()

    assert answer.finished.reason == wire.Finished.STOP


async def test_many_generations_at_once_keep_their_order(triton: TritonClient) -> None:
    prompts = [user(f'SIM: {{"text": "number {each}", "repeat": 300}}') for each in range(12)]

    answers = await asyncio.gather(*(triton.generate(prompt, greedy()) for prompt in prompts))

    expected = [(await triton.generate(prompt, greedy())).token_ids for prompt in prompts]
    assert [answer.token_ids for answer in answers] == expected


async def test_a_generation_that_hangs_sends_no_heartbeat(triton: TritonClient) -> None:
    # Two streams that differ in one thing: when one has sent three heartbeats,
    # the other has sent nothing.
    hanging = user('SIM: {"hang_after": 3}')
    slow = user('SIM: {"queue_ms": 600000}')
    async with (
        triton.stream(hanging, greedy()) as silent,
        triton.stream(slow, greedy()) as beating,
    ):
        received: list[int] = []
        while len(received) < 3:
            chunk = await silent.receive()
            assert chunk is not None
            received += chunk[0].token_ids
        more = asyncio.gather(silent.receive())
        for _ in range(3):
            await beating.receive()
        assert not more.done()
        more.cancel()

    assert len(received) == 3


async def test_generations_that_share_a_stream_are_cancelled_one_by_one(
    triton: TritonClient,
) -> None:
    share = wire.GenerateRequest(request_id="s-1", shared_stream=True)
    endless = greedy(delivery=wire.Delivery(shared_stream="s-1", number=1))
    short = greedy(delivery=wire.Delivery(shared_stream="s-1", number=2))
    async with triton.stream([0], share) as shared:
        assert (await shared.receive()) is not None
        async with triton.stream(_ENDLESS, endless) as one, triton.stream(user("Hi"), short) as two:
            answers: dict[int, list[wire.GenerateChunk]] = {1: [], 2: []}
            while not (answers[1] and answers[2] and answers[2][-1].HasField("finished")):
                message, final = (await shared.receive()) or pytest.fail("it ended")
                assert not final
                for each in message.shared:
                    answers[each.number].append(wire.GenerateChunk.FromString(each.chunk))
            # Their own streams bring nothing but their end.
            assert await two.receive() is None
            one.cancel()
        await triton.idle()

    said = [token for chunk in answers[2] for token in chunk.token_ids]
    assert said == (await triton.generate(user("Hi"), greedy())).token_ids
    assert [chunk.seq for chunk in answers[2]] == list(range(len(answers[2])))


async def test_generations_that_are_asked_for_on_a_shared_stream_are_cancelled_there(
    triton: TritonClient,
) -> None:
    share = wire.GenerateRequest(request_id="s-2", shared_stream=True)
    answers: dict[int, list[wire.GenerateChunk]] = {1: [], 2: [], 3: []}

    def there(number: int) -> wire.GenerateRequest:
        delivery = wire.Delivery(shared_stream="s-2", number=number, asked_there=True)
        return greedy(delivery=delivery)

    def over(number: int) -> bool:
        chunks = answers[number]
        return bool(chunks) and chunks[-1].HasField("finished")

    async with triton.stream([0], share, more=True) as shared:

        async def read() -> None:
            message, final = (await shared.receive()) or pytest.fail("it ended")
            assert not final
            for each in message.shared:
                answers[each.number].append(wire.GenerateChunk.FromString(each.chunk))

        await read()
        await shared.ask(_ENDLESS, there(1))
        await shared.ask(_ENDLESS, there(2))
        await shared.ask(user("Hi"), there(3))
        while not (over(3) and answers[1] and answers[2]):
            await read()
        await triton.until("worker_running_requests", lambda running: running == 2)
        await shared.ask([0], wire.GenerateRequest(request_id="s-2", cancel=[1]))
        while not over(1):
            await read()
        assert answers[1][-1].finished.reason == wire.Finished.CANCELLED
        await triton.until("worker_running_requests", lambda running: running == 1)
        assert not over(2)

        # Whom Triton itself refuses it names, on the stream that goes on.
        unknown = model_infer_request([0], b"")
        unknown.model_name, unknown.id = "another", "r-9"
        await shared.write(unknown)
        while not (answer := await shared.answer()).error_message:
            pass
        assert answer.infer_response.id == "r-9"
    await triton.idle()  # leaving the stream leaves what was asked for there

    said = [token for chunk in answers[3] for token in chunk.token_ids]
    assert said == (await triton.generate(user("Hi"), greedy())).token_ids
