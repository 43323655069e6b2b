"""Is it of use to ask Redis? A circuit breaker: no I/O, no clock of its own.

    closed -> open -> closed
              opens after FAILURES in a row, or when most of at least ENOUGH calls of the last
              second have failed; closes after GOOD_PROBES in a row of somebody's own asking

While it is open nobody asks, so that nobody waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

FAILURES = 5
ENOUGH = 10
WINDOW_S = 1.0
GOOD_PROBES = 3


class Breaker:
    """Told how calls have ended. *monotonic*: seconds."""

    def __init__(self, *, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._recent: deque[tuple[float, bool]] = deque()  # when, and whether it failed
        self._failures = 0  # of the last second
        self._in_a_row = 0
        self._good_probes = 0
        self._opened_at: float | None = None

    @property
    def is_open(self) -> bool:
        return self._opened_at is not None

    @property
    def is_closing(self) -> bool:
        """It is open, and the last probe was answered."""
        return self.is_open and self._good_probes > 0

    @property
    def open_for_s(self) -> float:
        return 0.0 if self._opened_at is None else self._monotonic() - self._opened_at

    def succeeded(self) -> None:
        if not self.is_open:  # else: an old answer, which says little
            self._in_a_row = 0
            self._note(failed=False)

    def failed(self) -> None:
        if self.is_open:
            return
        self._in_a_row += 1
        self._note(failed=True)
        mostly = len(self._recent) >= ENOUGH and 2 * self._failures > len(self._recent)
        if self._in_a_row >= FAILURES or mostly:
            self._opened_at = self._monotonic()
            self._good_probes = 0

    def probed(self, *, answered: bool) -> None:
        """Whoever probes while it is open says how that went."""
        if not self.is_open:
            return
        self._good_probes = self._good_probes + 1 if answered else 0
        if self._good_probes >= GOOD_PROBES:
            self._opened_at = None
            self._in_a_row = self._failures = 0
            self._recent.clear()

    def _note(self, *, failed: bool) -> None:
        now = self._monotonic()
        self._recent.append((now, failed))
        self._failures += failed
        while self._recent[0][0] < now - WINDOW_S:
            _, old = self._recent.popleft()
            self._failures -= old
