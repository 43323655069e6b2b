"""Which worker gets the next generation, and which gets none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from gateway.upstream.failures import AttemptFailed, Reason
from gateway.upstream.health import WorkerState
from gateway.upstream.worker import Worker, WorkerStatus
from gateway.upstream.workers import WorkerPool
from tests.gateway.upstream.conftest import StartUpstream
from tests.gateway.upstream.fake_triton import FakeTriton, Stream


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def pool_of(n_workers: int, clock: Clock) -> AsyncIterator[WorkerPool]:
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(FakeTriton()) for _ in range(n_workers)]
        pool = WorkerPool([worker.address for worker in workers], clock=clock)
        await stack.enter_async_context(pool)
        await pool.probe()
        yield pool


def chosen(pool: WorkerPool, *exclude: Worker) -> Worker:
    worker = pool.choose(exclude)
    assert worker is not None
    return worker


async def test_idle_workers_take_turns() -> None:
    async with pool_of(3, Clock()) as pool:
        turns = [chosen(pool).address for _ in range(6)]
        addresses = [status.address for status in pool.statuses()]

    assert turns == addresses * 2


async def test_the_worker_with_the_fewest_outstanding_tokens_is_next() -> None:
    async with pool_of(2, Clock()) as pool:
        first = chosen(pool)
        first.book(100)
        second = chosen(pool)
        booking = second.book(101)

        assert chosen(pool) is first
        booking.deliver(2)
        assert chosen(pool) is second
        assert chosen(pool, second) is first
        assert pool.choose([first, second]) is None


async def test_an_ejected_worker_comes_back_after_a_while_and_begins_with_one_generation() -> None:
    clock = Clock()
    async with pool_of(2, clock) as pool:
        ejected = chosen(pool)
        other = chosen(pool, ejected)
        other.book(1_000)

        pool.note_failure(ejected, AttemptFailed(Reason.SILENT, ""), cache_salt="a")
        assert chosen(pool) is other

        clock.now += 1
        assert chosen(pool) is ejected
        ejected.book(10)
        assert chosen(pool) is other  # although it has more to do

        ejected.health.generated()
        assert chosen(pool) is ejected


async def test_a_worker_whose_engine_fails_for_one_project_comes_last_but_stays() -> None:
    async with pool_of(2, Clock()) as pool:
        failing = chosen(pool)
        other = chosen(pool, failing)
        other.book(1_000)
        for _ in range(20):
            pool.note_failure(failing, AttemptFailed(Reason.ENGINE_FAILED, ""), cache_salt="a")
        assert chosen(pool) is other
        assert chosen(pool, other) is failing

        pool.note_failure(failing, AttemptFailed(Reason.ENGINE_FAILED, ""), cache_salt="b")
        assert pool.choose([other]) is None


async def test_an_overloaded_worker_comes_last_until_its_time_is_over() -> None:
    clock = Clock()
    async with pool_of(2, clock) as pool:
        overloaded = chosen(pool)
        other = chosen(pool, overloaded)
        other.book(1_000)

        pool.note_failure(
            overloaded, AttemptFailed(Reason.OVERLOADED, "", retry_after_ms=500), cache_salt="a"
        )
        assert chosen(pool) is other
        assert chosen(pool, other) is overloaded

        clock.now += 0.5
        assert chosen(pool) is overloaded


async def test_a_worker_that_says_beside_its_tokens_that_it_drains_gets_nothing_new(
    start_upstream: StartUpstream,
) -> None:
    async def drain(stream: Stream) -> None:
        await stream.send([1], draining=True)
        await stream.finish()

    upstream = await start_upstream(drain)

    assert await upstream.token_ids() == [1]
    assert [status.state for status in upstream.pool.statuses()] == [WorkerState.DRAINING]


async def test_a_worker_whose_model_is_not_ready_is_down() -> None:
    async with FakeTriton() as triton, WorkerPool([triton.address]) as pool:
        triton.ready = False
        await pool.probe()
        assert not pool.ready()

        triton.ready = True
        await pool.probe()
        assert pool.ready()
        assert pool.statuses() == [WorkerStatus(triton.address, WorkerState.UP, 0, 0, 0)]


async def test_a_dead_worker_is_known_before_a_generation_finds_out() -> None:
    async with FakeTriton() as triton, WorkerPool([triton.address]) as pool:
        await pool.probe()
        await triton.die()
        await pool.probe()

        assert pool.choose() is None
