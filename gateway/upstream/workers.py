"""The workers there are, and which one gets the next generation."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from gateway.upstream.choice import choose
from gateway.upstream.credentials import WorkerTls
from gateway.upstream.endpoints import Endpoints
from gateway.upstream.failures import AttemptFailed
from gateway.upstream.health import WorkerState
from gateway.upstream.worker import Worker, WorkerStatus
from wire.v1.generation_pb2 import WorkerLoad

_log = logging.getLogger(__name__)

# Whoever collects figures of a worker that is gone has seen the last of them by then.
FORGET_AFTER_S = 900.0


class WorkerPool:
    """Workers that come, go and fail. Use as a context manager; `run()` in a task group beside it.

    No worker is chosen before a probe reached it, so without `run()` (or a
    `probe()`) there are none.

    Args:
        endpoints: where the workers are.
        tls: how to speak to them; None = in clear.
        model_name: the Triton model that must be ready.
        probe_interval_s: between two probes of a worker; endpoints are looked up as often.
        probe_timeout_s: how long one may take. A Triton needs a second to find out that
            its model's process is dead.
        gateways: how many share the workers, this one included.
        on_forgotten: told the address of a worker that has long been gone. Pods come and go,
            each with an address of its own: what is kept for one must end some time.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        tls: WorkerTls | None = None,
        model_name: str = "gpt-oss-120b",
        probe_interval_s: float = 2.0,
        probe_timeout_s: float = 1.5,
        gateways: Callable[[], int] = lambda: 1,
        on_forgotten: Callable[[str], object] = lambda address: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoints = endpoints
        self._tls = tls
        self._tls_version: tuple[int, ...] = ()
        self._model_name = model_name
        self._probe_interval_s = probe_interval_s
        self._probe_timeout_s = probe_timeout_s
        self._gateways = gateways
        self._on_forgotten = on_forgotten
        self._clock = clock
        # Called when a worker said how it is, or said nothing when it was asked.
        self.on_news: Callable[[], None] = lambda: None
        self._workers: dict[str, Worker] = {}  # by address
        self._leaving: list[Worker] = []  # finish what they have, and get nothing new
        self._tasks: TaskGroup | None = None  # while run() does
        self._gone: dict[str, float] = {}  # since when, by address: nothing runs there any more

    async def __aenter__(self) -> Self:
        # Not earlier: a channel belongs to the event loop it was opened in.
        await self.look_up()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        workers = [*self._workers.values(), *self._leaving]
        self._workers, self._leaving = {}, []
        with anyio.CancelScope(shield=True):  # without a grace period close() does not wait
            for worker in workers:
                await worker.close()

    async def run(self) -> None:
        """Look for workers, probe them, read what they share; ends only by cancellation."""
        async with anyio.create_task_group() as self._tasks:
            try:
                while True:
                    await self.probe()
                    await anyio.sleep(self._probe_interval_s)
                    await self.look_up()
                    for worker in (*self._workers.values(), *self._leaving):
                        worker.sharing.tidy()
            finally:
                self._tasks = None

    # --- which there are -------------------------------------------------------

    async def look_up(self) -> None:
        """Take up new workers, and let those go that are gone."""
        self._renew_credentials()
        addresses = await self._endpoints.addresses()
        for address in addresses:
            if address not in self._workers:
                self._take_up(address)
        for address in self._workers.keys() - set(addresses):
            _log.info("worker %s is gone", address)
            self._leaving.append(self._workers.pop(address))
        await self._part()
        self._forget()

    def _take_up(self, address: str) -> None:
        try:
            self._workers[address] = Worker(
                address, self._tls, model_name=self._model_name, tasks=lambda: self._tasks
            )
        except OSError as exc:
            _log.error("worker %s cannot be reached without its certificates: %s", address, exc)
        else:
            self._gone.pop(address, None)
            _log.info("worker %s is known", address)

    def _renew_credentials(self) -> None:
        """Make all connections anew if the files of the certificates have changed."""
        if self._tls is None:
            return
        try:
            version = self._tls.version()
        except OSError as exc:
            _log.error("the certificates for workers cannot be read: %s", exc)
            return
        if self._tls_version and version != self._tls_version:
            _log.info("the certificates for workers have changed")
            for address, old in list(self._workers.items()):
                self._take_up(address)
                if (new := self._workers[address]) is not old:
                    new.health = old.health  # it is the same worker
                    self._leaving.append(old)
        self._tls_version = version

    async def _part(self) -> None:
        """Close the connections over which nothing comes any more."""
        done = [worker for worker in self._leaving if not worker.in_flight]
        self._leaving = [worker for worker in self._leaving if worker.in_flight]
        for worker in done:
            if worker.address not in self._workers:
                self._gone[worker.address] = self._clock()
            await worker.close()

    def _forget(self) -> None:
        """Of each address that has been gone for long enough, tell that it is."""
        now = self._clock()
        for address, since in list(self._gone.items()):
            if now - since > FORGET_AFTER_S:
                del self._gone[address]
                self._on_forgotten(address)

    # --- how they are ----------------------------------------------------------

    async def probe(self) -> None:
        """Probe all workers once, at the same time; takes `probe_timeout_s` at most."""
        async with anyio.create_task_group() as tasks:
            for worker in self._workers.values():
                tasks.start_soon(self._probe, worker)

    async def _probe(self, worker: Worker) -> None:
        before = worker.health.state(self._clock())
        try:
            load = await worker.probe(self._model_name, timeout_s=self._probe_timeout_s)
        except Exception:  # noqa: BLE001
            # A bug of ours or a worker beyond understanding: it must not end all the others' probes.
            _log.exception("the probe of worker %s failed", worker.address)
            worker.health.probe_answered(False)
            load = None
        if load is not None:
            self.note_load(worker, load)
        else:
            self.on_news()
        after = worker.health.state(self._clock())
        if after is WorkerState.DOWN:
            worker.abandon()
        if before is not after and WorkerState.DOWN in (before, after):
            level = logging.WARNING if after is WorkerState.DOWN else logging.INFO
            _log.log(level, "worker %s was %s and is %s", worker.address, before.value, after.value)

    def note_load(self, worker: Worker, load: WorkerLoad) -> None:
        """*worker* said how busy it is, and perhaps that it is about to stop."""
        now = self._clock()
        worker.note_load(load, now)
        worker.health.said(load.draining, now)
        self.on_news()

    def note_failure(self, worker: Worker, failed: AttemptFailed, *, cache_salt: str) -> None:
        """A generation with this salt failed on *worker*."""
        worker.health.failed(
            failed.reason,
            self._clock(),
            retry_after_ms=failed.retry_after_ms,
            cache_salt=cache_salt,
        )

    # --- who is next -----------------------------------------------------------

    def choose(self, affinity: int, *, exclude: Collection[Worker] = ()) -> Worker | None:
        """The worker for a generation with this affinity; None if none is available.

        Who is full comes after who is not; who is overloaded, keeps failing, or is
        on trial and busy with its one generation, comes last.
        """
        now = self._clock()
        available: dict[int, list[Worker]] = {}
        for worker in self._workers.values():
            if worker not in exclude and worker.health.state(now) is WorkerState.UP:
                available.setdefault(_reluctance(worker, now), []).append(worker)
        return choose(available[min(available)], affinity) if available else None

    def slots(self) -> int:
        """How many generations the workers run at once, those of other gateways included."""
        now = self._clock()
        return sum(worker.window.size() for worker in self._taking(now))

    def room(self, in_flight: int) -> int:
        """How many more would run at once if *in_flight* of this gateway do, or are about to.

        So many as the workers have free; but never less than makes this gateway's share of
        all: others keep what they have by taking up each place that they give back, and
        one that has come late would otherwise get none.
        """
        now = self._clock()
        taking = self._taking(now)
        booked = sum(worker.in_flight for worker in (*self._workers.values(), *self._leaving))
        free = sum(max(0, worker.free(now)) for worker in taking) - (in_flight - booked)
        share = sum(worker.window.size() for worker in taking) // max(1, self._gateways())
        return max(0, free, share - in_flight)

    def _taking(self, now: float) -> list[Worker]:
        """Those that would take a generation."""
        return [
            worker
            for worker in self._workers.values()
            if worker.health.state(now) is WorkerState.UP and not worker.health.overloaded(now)
        ]

    def ready(self) -> bool:
        """Whether any worker could be given a generation now."""
        now = self._clock()
        return any(worker.health.state(now) is WorkerState.UP for worker in self._workers.values())

    def statuses(self) -> list[WorkerStatus]:
        """Those that may be given something, in the order in which they became known."""
        now = self._clock()
        return [
            WorkerStatus(
                worker.address,
                worker.health.state(now),
                worker.in_flight,
                worker.outstanding_tokens,
                worker.health.ejections,
            )
            for worker in self._workers.values()
        ]


def _reluctance(worker: Worker, now: float) -> int:
    health = worker.health
    if health.overloaded(now) or health.suspect() or (health.on_trial() and worker.in_flight > 0):
        return 2
    return 1 if worker.full(now) else 0
