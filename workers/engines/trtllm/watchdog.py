"""When an engine is dead, or hangs. Pure: who calls says what time it is.

A dead executor says so. One that hangs (a rank is gone, a collective waits forever)
says nothing; TensorRT-LLM's own detector ends it after 300 s, we do not wait for that.
"""

from __future__ import annotations


class Watchdog:
    """Of one engine. Broken once is broken for good: only a new process helps."""

    def __init__(self, *, hang_s: float) -> None:
        self._hang_s = hang_s
        self._heard_at = 0.0
        self._in_flight = 0
        self.broken: str | None = None  # why

    def began(self, now: float) -> None:
        """A generation was handed to the engine."""
        if self._in_flight == 0:
            self._heard_at = now  # before that there was nothing to hear
        self._in_flight += 1

    def heard(self, now: float) -> None:
        """The engine has got on with something, whatever it was."""
        self._heard_at = now

    def ended(self) -> None:
        self._in_flight -= 1

    @property
    def in_flight(self) -> int:
        return self._in_flight

    def look(self, now: float, *, executor_is_dead: bool) -> str | None:
        """Why the engine is broken, or None."""
        if self.broken is None:
            silent_s = now - self._heard_at
            if executor_is_dead:
                self.broken = "TensorRT-LLM's executor is dead"
            elif self._in_flight and silent_s > self._hang_s:
                self.broken = f"TensorRT-LLM hangs: no progress in {silent_s:.0f} s"
        return self.broken
