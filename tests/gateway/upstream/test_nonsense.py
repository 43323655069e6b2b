"""Whatever nonsense a worker sends, it is blamed for it, and another one takes over."""

from __future__ import annotations

import pytest

from gateway.upstream.codec import LONGEST_RETRY_MS, read_pong
from gateway.upstream.failures import ContractViolation, Reason
from gateway.upstream.health import LONGEST_EJECTION_S, Health, WorkerState
from tests.gateway.upstream.conftest import GENERATION, StartUpstream
from tests.gateway.upstream.fake_triton import Stream, count_to_three
from wire.v1 import generation_pb2 as wire
from wire.vocabulary import SIZE


@pytest.mark.parametrize("token_id", [SIZE, 2**31, 2**32 - 1])
async def test_a_token_that_there_is_not(start_upstream: StartUpstream, token_id: int) -> None:
    async def worker(stream: Stream) -> None:
        await stream.send([token_id])

    upstream = await start_upstream(worker, count_to_three)
    assert await upstream.token_ids() == [1, 2, 3]


async def test_more_cached_tokens_than_there_were(start_upstream: StartUpstream) -> None:
    async def worker(stream: Stream) -> None:
        await stream.send([1], cached_tokens=2**32 - 1)

        await stream.finish()

    upstream = await start_upstream(worker)
    told = [chunk.cached_tokens for chunk in await upstream.generate()]
    assert max(each for each in told if each is not None) == len(GENERATION.prompt)


def test_a_message_that_cannot_be_read() -> None:
    with pytest.raises(ContractViolation):
        read_pong(None)


def test_a_worker_that_fails_for_days_is_ejected_again_and_again() -> None:
    health, now = Health(), 0.0
    health.probe_answered(True)
    for _ in range(2000):
        health.failed(Reason.TRITON_ERROR, now)
        assert health.state(now) is WorkerState.EJECTED
        now += LONGEST_EJECTION_S + 1


async def test_a_worker_that_wants_to_be_left_alone_for_weeks(
    start_upstream: StartUpstream,
) -> None:
    async def worker(stream: Stream) -> None:
        await stream.fail(wire.Error.OVERLOADED, 2**32 - 1)

    upstream = await start_upstream(worker, count_to_three)
    assert await upstream.token_ids() == [1, 2, 3]
    health = Health()
    health.probe_answered(True)
    health.failed(Reason.OVERLOADED, 0, retry_after_ms=2**32 - 1)
    assert health.state(LONGEST_RETRY_MS / 1000 + 1) is WorkerState.UP
