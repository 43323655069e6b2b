"""An engine over fake Tritons, with time-outs a test can wait for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

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


@pytest.fixture
async def start_upstream() -> AsyncIterator[StartUpstream]:
    """Call with a script a worker, in the order in which they are asked; they are up when it
    returns."""
    async with AsyncExitStack() as stack:

        async def start(*scripts: Script) -> Upstream:
            workers = [await stack.enter_async_context(FakeTriton()) for _ in scripts]
            # The first script is that of GENERATION's home, and so on.
            workers.sort(key=lambda worker: -rank(AFFINITY, worker_hash(worker.address)))
            for worker, script in zip(workers, scripts, strict=True):
                worker.script = script
            pool = await stack.enter_async_context(
                WorkerPool(Endpoints([worker.address for worker in workers]))
            )
            await pool.probe()
            return Upstream(workers, pool)

        yield start


async def until(condition: Callable[[], bool], *, timeout_s: float = 5) -> None:
    with anyio.fail_after(timeout_s):
        while not condition():  # noqa: ASYNC110  (nobody there to set an event)
            await anyio.sleep(0.005)
