"""Settles what gateways that are gone have left behind. Every gateway runs one.

They share the work by claiming parts of the list for one period; nothing breaks
if two do the same, for the script that reaps decides who was first.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from typing import Never, Protocol

import anyio

from gateway.store.errors import StoreUnavailable
from gateway.store.leased_projects import PARTS
from gateway.store.ledger import Reaped

_log = logging.getLogger(__name__)

BATCH = 100
JITTER = 0.2
# A lease that has just ended may be renewed by a command that is on its way.
GRACE_MS = 500


class Ledger(Protocol):
    async def reap(
        self, project_id: str, *, grace_ms: int = 0, limit: int = 100
    ) -> Sequence[Reaped]: ...


class Projects(Protocol):
    async def claim(self, part: int, *, period_ms: int) -> bool: ...

    async def of(self, part: int) -> Sequence[str]: ...

    async def forget_if_quiet(self, project_id: str) -> None: ...


class Reaper:
    """The app starts `run()` in its task group."""

    def __init__(
        self,
        ledger: Ledger,
        projects: Projects,
        *,
        interval_s: float,
        on_reaped: Callable[[], None] = lambda: None,
    ) -> None:
        """*on_reaped* is told of every lease that was settled for somebody else."""
        self._ledger = ledger
        self._projects = projects
        self._interval_s = interval_s
        self._on_reaped = on_reaped

    async def run(self) -> Never:
        """Look through everything once an interval. Ends only by cancellation."""
        while True:
            # Not all gateways at once, and not always in the same order.
            await anyio.sleep(self._interval_s * random.uniform(1 - JITTER, 1 + JITTER))
            try:
                await self.reap_all()
            except StoreUnavailable as exc:
                _log.warning("nothing is reaped: %s", exc)

    async def reap_all(self) -> None:
        """Look through all parts that nobody else looks through. Raises StoreUnavailable."""
        period_ms = int(self._interval_s * 1000 * (1 - JITTER))
        for part in random.sample(range(PARTS), PARTS):
            projects = await self._projects.of(part)
            if projects and await self._projects.claim(part, period_ms=period_ms):
                for project_id in projects:
                    await self._reap(project_id)

    async def _reap(self, project_id: str) -> None:
        while True:
            reaped = await self._ledger.reap(project_id, grace_ms=GRACE_MS, limit=BATCH)
            for lease in reaped:
                self._on_reaped()
                _log.warning(
                    "%s of %s was settled for a gateway that is gone: %d output tokens",
                    lease.lease_id,
                    project_id,
                    lease.usage.output_tokens,
                )
            if len(reaped) < BATCH:
                break
        await self._projects.forget_if_quiet(project_id)
