"""An engine over fake Tritons, with time-outs a test can wait for."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import pytest

from gateway.generation import Chunk, Generation, Sampling
from gateway.upstream.affinity import affinity, rank, worker_hash
from gateway.upstream.attempt import UpstreamTimeouts
from gateway.upstream.endpoints import Endpoints
from gateway.upstream.engine import TritonEngine
from gateway.upstream.workers import WorkerPool
from tests.gateway.upstream.fake_triton import FakeTriton, Script

GENERATION = Generation(
    request_id="resp-1",
    prompt=(200006, 1428, 200008),
    max_output_tokens=10,
    sampling=Sampling(seed=7),
    stop_token_ids=(200002, 200012),
    cache_salt="salt",
    deadline_unix_ms=0,
)
AFFINITY = affinity(GENERATION)
SHORT = UpstreamTimeouts(connect_s=0.2, idle_s=0.2, first_token_s=2.0, takeover_s=0.5)


_NEVER_S = 1e6


class Incidents:
    """An UpstreamObserver that writes down what it is told."""

    def __init__(self) -> None:
        self.happened: list[str] = []

    def worker_failed(self, address: str, reason: str) -> None:
        self.happened.append(f"failed {reason}")

    def taken_over(self, generated_tokens: int) -> None:
        behind = f" behind {generated_tokens}" if generated_tokens else ""
        self.happened.append(f"taken over{behind}")


class Upstream:
    """A pool of fake workers, the engine over it, and what went wrong."""

    def __init__(self, workers: list[FakeTriton], pool: WorkerPool) -> None:
        self.workers = workers
        self.pool = pool
        self.incidents = Incidents()
        self.engine = self.engine_with(SHORT)

    def engine_with(self, timeouts: UpstreamTimeouts) -> TritonEngine:
        return TritonEngine(self.pool, timeouts, observer=self.incidents)

    async def generate(self, generation: Generation = GENERATION) -> list[Chunk]:
        """All chunks of a generation."""
        async with self.engine.generate(generation) as chunks:
            return [chunk async for chunk in chunks]

    async def token_ids(self, generation: Generation = GENERATION) -> list[int]:
        return [
            token_id for chunk in await self.generate(generation) for token_id in chunk.token_ids
        ]

    def load(self) -> list[tuple[int, int]]:
        """Generations in flight and outstanding tokens, of each worker."""
        return [(status.in_flight, status.outstanding_tokens) for status in self.pool.statuses()]


StartUpstream = Callable[..., Awaitable[Upstream]]


class Sharing(enum.Enum):
    """What the workers know of shared streams."""

    UNKNOWN = "own streams"
    CHUNKS = "chunks shared"
    REQUESTS = "all shared"


@pytest.fixture(params=Sharing, ids=lambda sharing: sharing.value)
def sharing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Sharing:
    """Whatever holds for a generation on its own stream holds for those on a shared one."""
    if request.param is not Sharing.UNKNOWN:
        monkeypatch.setattr("gateway.upstream.sharing.SHARE_FROM", 1)
        monkeypatch.setattr("gateway.upstream.shared_stream.LAST_CHUNKS_S", SHORT.idle_s / 4)
    assert isinstance(request.param, Sharing)
    return request.param


@pytest.fixture
async def start_upstream(sharing: Sharing) -> AsyncIterator[StartUpstream]:
    """Call with a script a worker, in the order in which they are asked; they are up when it
    returns."""
    async with AsyncExitStack() as stack:

        async def start(*scripts: Script, probe_interval_s: float = _NEVER_S) -> Upstream:
            workers = [
                await stack.enter_async_context(
                    FakeTriton(
                        shares=sharing is not Sharing.UNKNOWN,
                        takes_requests=sharing is Sharing.REQUESTS,
                    )
                )
                for _ in scripts
            ]
            # The first script is that of GENERATION's home, and so on.
            workers.sort(key=lambda worker: -rank(AFFINITY, worker_hash(worker.address)))
            for worker, script in zip(workers, scripts, strict=True):
                worker.script = script
            pool = await stack.enter_async_context(
                WorkerPool(
                    Endpoints([worker.address for worker in workers]),
                    probe_interval_s=probe_interval_s,
                )
            )
            await stack.enter_async_context(_running(pool))
            await until(lambda: all(status.up for status in pool.statuses()))
            return Upstream(workers, pool)

        yield start


@asynccontextmanager
async def _running(pool: WorkerPool) -> AsyncIterator[None]:
    running = asyncio.get_running_loop().create_task(pool.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait([running])


async def until(condition: Callable[[], bool], *, timeout_s: float = 5) -> None:
    with anyio.fail_after(timeout_s):
        while not condition():  # noqa: ASYNC110  (nobody there to set an event)
            await anyio.sleep(0.005)
