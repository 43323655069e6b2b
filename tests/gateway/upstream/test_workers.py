"""Which worker gets the next generation, and which gets none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio

from gateway.upstream.attempt import UpstreamTimeouts
from gateway.upstream.choice import SLACK_TOKENS
from gateway.upstream.endpoints import Endpoints
from gateway.upstream.failures import AttemptFailed, Reason
from gateway.upstream.health import WorkerState
from gateway.upstream.worker import Worker, WorkerStatus
from gateway.upstream.workers import WorkerPool
from tests.gateway.upstream.conftest import GENERATION, StartUpstream
from tests.gateway.upstream.fake_triton import FakeTriton, Stream, count_to_three
from wire.v1.generation_pb2 import WorkerLoad


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def pool_of(n_workers: int, clock: Clock) -> AsyncIterator[WorkerPool]:
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(FakeTriton()) for _ in range(n_workers)]
        endpoints = Endpoints([worker.address for worker in workers])
        pool = WorkerPool(endpoints, clock=clock)
        await stack.enter_async_context(pool)
        await pool.probe()
        yield pool


def chosen(pool: WorkerPool, *exclude: Worker, affinity: int = 5) -> Worker:
    worker = pool.choose(affinity, exclude=exclude)
    assert worker is not None
    return worker


async def test_a_conversation_returns_to_its_home_until_that_has_too_much_to_do() -> None:
    async with pool_of(3, Clock()) as pool:
        home = chosen(pool)
        assert {chosen(pool) for _ in range(5)} == {home}
        assert {chosen(pool, affinity=each) for each in range(40)} == {
            home,
            chosen(pool, home),
            chosen(pool, home, chosen(pool, home)),
        }

        booking = home.book(SLACK_TOKENS * 4)
        assert chosen(pool) is not home
        booking.deliver(SLACK_TOKENS * 3)
        assert chosen(pool) is home


async def test_a_worker_with_a_queue_comes_after_those_without() -> None:
    clock = Clock()
    async with pool_of(2, clock) as pool:
        home = chosen(pool)
        pool.note_load(home, WorkerLoad(queued=3))
        assert chosen(pool) is not home

        pool.note_load(home, WorkerLoad(queued=0))
        assert chosen(pool) is home

        pool.note_load(home, WorkerLoad(queued=3))
        clock.now += 10  # and nothing was heard of it since
        assert chosen(pool) is home


async def test_who_says_it_drains_is_left_alone_until_it_says_otherwise() -> None:
    async with pool_of(1, Clock()) as pool:
        worker = chosen(pool)
        pool.note_load(worker, WorkerLoad(draining=True))
        assert pool.choose(5) is None

        pool.note_load(worker, WorkerLoad(draining=False))
        assert chosen(pool) is worker


async def test_an_ejected_worker_comes_back_after_a_while_and_begins_with_one_generation() -> None:
    clock = Clock()
    async with pool_of(2, clock) as pool:
        ejected = chosen(pool)
        other = chosen(pool, ejected)

        pool.note_failure(ejected, AttemptFailed(Reason.SILENT, ""), cache_salt="a")
        assert chosen(pool) is other

        clock.now += 1
        assert chosen(pool) is ejected
        ejected.book(10)
        assert chosen(pool) is other

        ejected.health.generated()
        assert chosen(pool) is ejected


async def test_a_worker_whose_engine_fails_for_one_project_comes_last_but_stays() -> None:
    async with pool_of(2, Clock()) as pool:
        failing = chosen(pool)
        other = chosen(pool, failing)
        for _ in range(20):
            pool.note_failure(failing, AttemptFailed(Reason.ENGINE_FAILED, ""), cache_salt="a")
        assert chosen(pool) is other
        assert chosen(pool, other) is failing

        pool.note_failure(failing, AttemptFailed(Reason.ENGINE_FAILED, ""), cache_salt="b")
        assert pool.choose(5, exclude=[other]) is None


async def test_an_overloaded_worker_comes_last_until_its_time_is_over() -> None:
    clock = Clock()
    async with pool_of(2, clock) as pool:
        overloaded = chosen(pool)
        other = chosen(pool, overloaded)

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
    async with FakeTriton() as triton, WorkerPool(Endpoints([triton.address])) as pool:
        triton.ready = False
        await pool.probe()
        assert not pool.ready()

        triton.ready = True
        await pool.probe()
        assert pool.ready()
        assert pool.statuses() == [WorkerStatus(triton.address, WorkerState.UP, 0, 0, 0)]


async def test_a_dead_worker_is_known_before_a_generation_finds_out() -> None:
    async with FakeTriton() as triton, WorkerPool(Endpoints([triton.address])) as pool:
        await pool.probe()
        await triton.die()
        await pool.probe()

        assert pool.choose(5) is None


async def test_whoever_waits_for_a_dead_worker_hears_of_it_from_the_probe(
    start_upstream: StartUpstream,
) -> None:
    """As of a Triton whose stub was killed: its streams stay open for ever."""

    async def begin_and_hang(stream: Stream) -> None:
        await stream.send([1])
        await stream.hang()

    upstream = await start_upstream(begin_and_hang, count_to_three)
    engine = upstream.engine_with(UpstreamTimeouts(idle_s=60))
    async with engine.generate(GENERATION) as chunks, anyio.create_task_group() as tasks:
        received = [*(await anext(chunks)).token_ids]

        async def read_on() -> None:
            async for chunk in chunks:
                received.extend(chunk.token_ids)
            tasks.cancel_scope.cancel()

        tasks.start_soon(read_on)
        upstream.workers[0].ready = False
        while True:  # until it has been silent for long enough
            await upstream.pool.probe()
            await anyio.sleep(0.1)

    assert received == [1, 2, 3]
    assert upstream.incidents.happened == ["failed silent", "taken over behind 1"]


async def test_a_worker_that_does_not_answer_is_news_for_those_who_wait() -> None:
    async with FakeTriton() as triton, WorkerPool(Endpoints([triton.address])) as pool:
        news = []
        pool.on_news = lambda: news.append(pool.ready())
        await pool.probe()
        await triton.die()
        await pool.probe()
        await pool.probe()
        assert news == [True, False, False]
