"""The workers there are, and which one gets the next generation."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Self

import anyio

from gateway.upstream.failures import AttemptFailed, Reason
from gateway.upstream.health import WorkerState
from gateway.upstream.worker import Worker, WorkerStatus

_log = logging.getLogger(__name__)


class WorkerPool:
    """A fixed list of workers. Use as a context manager; `run()` in a task group beside it.

    No worker is chosen before a probe reached it, so without `run()` (or a
    `probe()`) there are none.

    Args:
        addresses: `host:port` of each worker's gRPC endpoint.
        model_name: the Triton model that must be ready.
        probe_interval_s: between two probes of a worker.
        probe_timeout_s: how long one may take.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        model_name: str = "gpt-oss-120b",
        probe_interval_s: float = 2.0,
        probe_timeout_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._addresses = addresses
        self._model_name = model_name
        self._probe_interval_s = probe_interval_s
        self._probe_timeout_s = probe_timeout_s
        self._clock = clock
        self._workers: list[Worker] = []
        self._turn = 0

    async def __aenter__(self) -> Self:
        # Not earlier: a channel belongs to the event loop it was opened in.
        self._workers = [Worker(address) for address in self._addresses]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        workers, self._workers = self._workers, []
        with anyio.CancelScope(shield=True):  # without a grace period close() does not wait
            for worker in workers:
                await worker.close()

    async def run(self) -> None:
        """Probe the workers for ever. Ends only by cancellation."""
        while True:
            await self.probe()
            await anyio.sleep(self._probe_interval_s)

    async def probe(self) -> None:
        """Probe all workers once, at the same time; takes `probe_timeout_s` at most."""
        async with anyio.create_task_group() as tasks:
            for worker in self._workers:
                tasks.start_soon(self._probe, worker)

    async def _probe(self, worker: Worker) -> None:
        before = worker.health.state(self._clock())
        await worker.probe(self._model_name, timeout_s=self._probe_timeout_s)
        after = worker.health.state(self._clock())
        if before is not after and WorkerState.DOWN in (before, after):
            level = logging.WARNING if after is WorkerState.DOWN else logging.INFO
            _log.log(level, "worker %s was %s and is %s", worker.address, before.value, after.value)

    def choose(self, exclude: Collection[Worker] = ()) -> Worker | None:
        """The available worker with the least to do; None if there is none.

        Who is overloaded, keeps failing, or is on trial and busy with its one
        generation, comes last. Equals take turns.
        """
        now = self._clock()
        workers = self._workers
        available = [
            worker
            for worker in (*workers[self._turn :], *workers[: self._turn])
            if worker not in exclude and worker.health.state(now) is WorkerState.UP
        ]
        if not available:
            return None
        self._turn = (self._turn + 1) % len(workers)
        return min(
            available, key=lambda worker: (_is_last_resort(worker, now), worker.outstanding_tokens)
        )

    def note_failure(self, worker: Worker, failed: AttemptFailed, *, cache_salt: str) -> None:
        """A generation with this salt failed on *worker*."""
        worker.health.failed(
            failed.reason,
            self._clock(),
            retry_after_ms=failed.retry_after_ms,
            cache_salt=cache_salt,
        )

    def note_draining(self, worker: Worker) -> None:
        """*worker* said, beside a chunk, that it is about to stop."""
        worker.health.failed(Reason.DRAINING, self._clock())

    def ready(self) -> bool:
        """Whether any worker could be given a generation now."""
        now = self._clock()
        return any(worker.health.state(now) is WorkerState.UP for worker in self._workers)

    def statuses(self) -> list[WorkerStatus]:
        now = self._clock()
        return [
            WorkerStatus(
                worker.address,
                worker.health.state(now),
                worker.in_flight,
                worker.outstanding_tokens,
                worker.health.ejections,
            )
            for worker in self._workers
        ]


def _is_last_resort(worker: Worker, now: float) -> bool:
    health = worker.health
    return (
        health.overloaded(now) or health.suspect() or (health.on_trial() and worker.in_flight > 0)
    )
