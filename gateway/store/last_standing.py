"""What is left of hard budgets, as Redis said last: for the time when it does not answer.

Only of projects that ask for something, and have a hard budget.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Never

import anyio
from cachetools import TTLCache

from gateway.quota.limits import Limits
from gateway.quota.local_quotas import Remaining
from gateway.store.errors import StoreUnavailable
from gateway.store.standing import Standing, Standings

INTERVAL_S = 5.0
# Of whom nothing has come for so long, nothing is read any more.
QUIET_AFTER_S = 600.0
REMEMBERED = 10_000
# What is known longer than an outage may last says nothing about now.
KNOWN_FOR_S = 3600.0

_Scope = tuple[str, str | None]  # project, and kid for a key of it


class LastStanding:
    """The app starts `run()`."""

    def __init__(
        self,
        standings: Standings,
        *,
        on_read: Callable[[str, str | None], None] = lambda project_id, kid: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """*on_read* is told whose budgets were read."""
        self._on_read = on_read
        self._standings = standings
        self._asking = TTLCache[_Scope, Limits, float](REMEMBERED, QUIET_AFTER_S, monotonic)
        self._somebody_is_new = anyio.Event()
        self._known = TTLCache[_Scope, Standing, float](REMEMBERED, KNOWN_FOR_S, monotonic)

    def note(self, project_id: str, kid: str | None, limits: Limits) -> None:
        """A request of theirs was admitted: what they have left may be asked for soon."""
        if _has_hard_budget(limits):
            if (project_id, kid) not in self._asking:
                self._somebody_is_new.set()
            self._asking[project_id, kid] = limits

    def remaining(self, project_id: str, kid: str | None, limits: Limits) -> Remaining:
        """None where nothing is known."""
        known = self._known.get((project_id, kid))
        if known is None:
            return Remaining()
        return Remaining(
            _left(limits.daily_tokens, known.day_used + known.day_reserved),
            _left(limits.monthly_tokens, known.month_used + known.month_reserved),
        )

    async def run(self) -> Never:
        """Ends only by cancellation."""
        while True:
            with anyio.move_on_after(INTERVAL_S):
                await self._somebody_is_new.wait()
            self._somebody_is_new = anyio.Event()
            await self.read()

    async def read(self) -> None:
        """Raises nothing: what was known is known still."""
        for project_id, kid in list(self._asking):
            try:
                standing = await self._standings.read(project_id, kid=kid)
            except StoreUnavailable:
                return
            self._known[project_id, kid] = standing
            self._on_read(project_id, kid)


def _left(budget: int | None, taken: int) -> int | None:
    return None if budget is None else max(budget - taken, 0)


def _has_hard_budget(limits: Limits) -> bool:
    return any(mode == "hard" for _, _, mode in limits.budgets())
