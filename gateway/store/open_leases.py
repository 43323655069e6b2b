"""The leases this gateway holds: renewed while it lives, each time with what they have used.

What the last renewal told is what is charged if this process dies; so a killed
gateway costs its operator one renewal interval of generation, and no tenant more
than was generated.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Never, Protocol

import anyio

from gateway.quota.reservation import Reservation
from gateway.quota.usage import LeaseProgress, Usage
from gateway.store.errors import StoreUnavailable

_log = logging.getLogger(__name__)

# Of one project. A renewal that takes longer is given up: the next one tells the same and more.
DEADLINE_S = 0.5
PROJECTS_AT_ONCE = 8


class Ledger(Protocol):
    async def renew(self, project_id: str, progress: Sequence[LeaseProgress]) -> frozenset[str]: ...


class OpenLeases:
    """Requests hold their leases here; the app starts `run()` in its task group."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        interval_s: float,
        on_renewed: Callable[[str, int], None] = lambda result, leases: None,
    ) -> None:
        """*on_renewed* is told how many leases were "renewed", "unknown" to the store, or "failed"."""
        self._ledger = ledger
        self._interval_s = interval_s
        self._on_renewed = on_renewed
        self._held: dict[str, tuple[Reservation, Callable[[], Usage]]] = {}

    @contextmanager
    def held(self, reservation: Reservation, charged: Callable[[], Usage]) -> Iterator[None]:
        """Renew a lease from now on. *charged*: what it would be charged if it ended now.

        It is asked once an interval, so that a token costs nothing here.
        """
        self._held[reservation.lease_id] = (reservation, charged)
        try:
            yield
        finally:
            del self._held[reservation.lease_id]

    async def run(self) -> Never:
        """Renew all of them, again and again. Ends only by cancellation."""
        while True:
            await anyio.sleep(self._interval_s)
            await self.renew()

    async def renew(self) -> None:
        """Renew all of them once. Raises nothing: the next time is near."""
        by_project = defaultdict[str, list[LeaseProgress]](list)
        for lease_id, (reservation, charged) in self._held.items():
            by_project[reservation.project_id].append(
                LeaseProgress(lease_id, reservation.kid, charged())
            )
        limiter = anyio.CapacityLimiter(PROJECTS_AT_ONCE)

        async def one(project_id: str, progress: Sequence[LeaseProgress]) -> None:
            async with limiter:
                await self._renew(project_id, progress)

        async with anyio.create_task_group() as tasks:
            for project_id, progress in by_project.items():
                tasks.start_soon(one, project_id, progress)

    async def _renew(self, project_id: str, progress: Sequence[LeaseProgress]) -> None:
        try:
            with anyio.fail_after(DEADLINE_S):
                unknown = await self._ledger.renew(project_id, progress)
        except (StoreUnavailable, TimeoutError) as exc:
            _log.warning("%d leases of %s not renewed: %s", len(progress), project_id, exc)
            self._on_renewed("failed", len(progress))
            return
        # Settled meanwhile: nothing unusual. The others were reaped or forgotten; they are
        # served to their end all the same, and charged by their own settlement.
        unknown &= self._held.keys()
        for lease_id in unknown:
            _log.warning("%s is served on, but its lease has ended", lease_id)
        self._on_renewed("renewed", len(progress) - len(unknown))
        self._on_renewed("unknown", len(unknown))
