"""Whatever happens to generations, a worker's load returns to nothing."""

from __future__ import annotations

import anyio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.generation import UpstreamError
from gateway.upstream.attempt import UpstreamTimeouts
from gateway.upstream.endpoints import Endpoints
from gateway.upstream.engine import TritonEngine
from gateway.upstream.worker import Worker
from gateway.upstream.workers import WorkerPool
from tests.gateway.upstream.conftest import GENERATION, until
from tests.gateway.upstream.fake_triton import FakeTriton, Stream
from wire.v1 import generation_pb2 as wire

# What a worker may do next. Contract or not, the books must balance.
STEPS = {
    "tokens": lambda stream: stream.send([1, 2, 3]),
    "more tokens than asked for": lambda stream: stream.send([1] * 20),
    "heartbeat": lambda stream: stream.send(),
    "gap": lambda stream: stream.send_output(b""),
    "finish": lambda stream: stream.finish(),
    "overloaded": lambda stream: stream.fail(wire.Error.OVERLOADED),
    "engine failed": lambda stream: stream.fail(wire.Error.ENGINE_FAILED),
    "triton error": lambda stream: stream.triton_error("as scripted"),
    "hang": lambda stream: stream.hang(),
}


async def test_outstanding_tokens_are_what_was_booked_and_has_not_arrived() -> None:
    async def script(stream: Stream) -> None:
        await stream.send([1, 2, 3])
        await stream.hang()

    async with FakeTriton(script) as triton, WorkerPool(Endpoints([triton.address])) as pool:
        await pool.probe()
        async with TritonEngine(pool).generate(GENERATION) as chunks:
            assert pool.statuses()[0].outstanding_tokens == 3 + 10  # prompt, output
            await anext(chunks)
            assert pool.statuses()[0].outstanding_tokens == 3 + 10 - 3
            assert pool.statuses()[0].in_flight == 1

        assert pool.statuses()[0].outstanding_tokens == 0
        assert pool.statuses()[0].in_flight == 0


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(st.sampled_from(sorted(STEPS)), max_size=5),
    leaves_after=st.none() | st.integers(0, 5),
)
def test_a_workers_load_returns_to_nothing(steps: list[str], leaves_after: int | None) -> None:
    anyio.run(_play, steps, leaves_after)


async def _play(steps: list[str], leaves_after: int | None) -> None:
    async def script(stream: Stream) -> None:
        for step in steps:
            await STEPS[step](stream)

    async with (
        FakeTriton(script) as first,
        FakeTriton(script) as second,
        WorkerPool(Endpoints([first.address, second.address])) as pool,
    ):
        await pool.probe()
        engine = TritonEngine(pool, UpstreamTimeouts(idle_s=0.03, first_token_s=1, takeover_s=0.1))
        try:
            async with engine.generate(GENERATION) as chunks:
                received = 0
                while received != leaves_after:
                    await anext(chunks)
                    received += 1
        except (UpstreamError, StopAsyncIteration):
            pass

        load = [(status.in_flight, status.outstanding_tokens) for status in pool.statuses()]
        assert load == [(0, 0), (0, 0)]
        await until(lambda: first.streams + second.streams == 0)


def test_a_booking_ends_once() -> None:
    async def story() -> tuple[int, int]:
        worker = Worker("127.0.0.1:1")
        booking, other = worker.book(100), worker.book(7)
        booking.deliver(120)
        booking.end()
        booking.end()
        load = worker.in_flight, worker.outstanding_tokens
        other.end()
        await worker.close()
        return load

    assert anyio.run(story) == (1, 7)
