"""A watchdog over one stream: it cancels a call that keeps us waiting too long.

A dead Triton stub leaves its streams open and silent for ever, so every wait
for a worker needs a limit. asyncio.timeout() around each read would cancel the
task that reads, not the call, and costs a timer a message: 5 us. Here a message
costs a clock read. The timer is set once, and when it goes off it looks whether
there still is anything to bark at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.upstream.failures import Reason

# A timer that goes off so much later than it should tells of us, not of the worker.
LATE_S = 0.5


class Watchdog:
    """Calls *cancel* when a wait exceeds its limit. Limits are in seconds."""

    def __init__(self, cancel: Callable[[], object]) -> None:
        self.barked: Reason | None = None  # why it cancelled, if it did
        self._cancel = cancel
        self._loop = asyncio.get_running_loop()
        self._reason = Reason.SILENT
        self._until: float | None = None  # None: we do not wait for the worker now
        self._since = 0.0  # when we began to
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def watch(self, limit_s: float, reason: Reason) -> None:
        """From now on we wait; after *limit_s* cancel, because of *reason*."""
        self._reason = reason
        self._since = self._loop.time()
        self._until = until = self._since + limit_s
        if self._timer is None or until < self._timer_at:
            self._set_timer(until)

    def rest(self) -> None:
        """The worker has answered. How long our reader takes is not its fault."""
        self._until = None

    def waits(self) -> float:
        """For how long we have been waiting, in seconds; 0 while we do not."""
        return 0.0 if self._until is None else self._loop.time() - self._since

    def bark(self, reason: Reason) -> None:
        """Cancel now: somebody knows that there is nothing to wait for."""
        self.barked = reason
        self._cancel()

    def stop(self) -> None:
        self._until = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._until is None:
            return  # the next watch() sets a timer
        if self._loop.time() < self._until:
            self._set_timer(self._until)
            return
        late_s = self._loop.time() - self._timer_at
        if late_s > LATE_S:
            # Our own loop was busy: what the worker sent meanwhile is still unread.
            self._until = self._loop.time() + LATE_S
            self._set_timer(self._until)
            return
        self.bark(self._reason)
