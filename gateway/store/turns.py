"""How often something may be done: GCRA, in this process alone, one number each."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio
from cachetools import TTLCache

from gateway.store.errors import StoreUnavailable

MAX_SOURCES = 20_000


class Turns:
    """So many in a second, all together; whoever comes too early waits for a turn."""

    def __init__(
        self,
        *,
        per_s: float,
        burst: int,
        max_wait_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval_s = 1 / per_s
        self._burst_s = burst / per_s
        self._max_wait_s = max_wait_s
        self._monotonic = monotonic
        self._rest_at = 0.0

    async def take(self) -> None:
        """Wait for a turn. Raises StoreUnavailable at once if that would take too long."""
        now = self._monotonic()
        rest_at = max(self._rest_at, now) + self._interval_s
        wait_s = rest_at - now - self._burst_s
        if wait_s > self._max_wait_s:
            raise StoreUnavailable("too many keys are looked up at once")
        self._rest_at = rest_at
        if wait_s > 0:
            await anyio.sleep(wait_s)


class FailedAttempts:
    """How many look-ups somebody may cause that find nothing.

    Whoever sends wrong keys costs Redis nothing: the next unknown one is not looked up.
    """

    def __init__(
        self,
        *,
        per_s: float = 1.0,
        burst: int = 20,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval_s = 1 / per_s
        self._burst_s = burst / per_s
        self._monotonic = monotonic
        # A source that has been quiet for so long has its whole burst again.
        self._rest_at = TTLCache[str, float, float](MAX_SOURCES, self._burst_s + 1, monotonic)

    def wait_s(self, source: str) -> float:
        """How long nothing is looked up for it; 0 if it may ask."""
        rest_at = self._rest_at.get(source)
        if rest_at is None:
            return 0.0
        return max(0.0, rest_at + self._interval_s - self._burst_s - self._monotonic())

    def note(self, source: str) -> None:
        """A look-up for it has found nothing."""
        now = self._monotonic()
        self._rest_at[source] = max(self._rest_at.get(source, 0.0), now) + self._interval_s
