"""What a worker's past says about its near future. Pure: the time is an argument.

Two witnesses are heard, because either may be wrong. The probe asks the model
whether it is alive, which says nothing of its GPU. A generation that fails tells
the truth, but only to whom it hits. So a worker is available when the last probe
was answered and it has not been ejected; a probe alone never lifts an ejection.

Times are seconds of a monotonic clock.
"""

from __future__ import annotations

import enum
from typing import assert_never

from gateway.upstream.failures import Reason

FIRST_EJECTION_S = 1.0
LONGEST_EJECTION_S = 30.0
# A drained pod is gone by then, or says it again.
DRAINING_S = 10.0
# When the worker does not say how long it will have too much to do.
OVERLOADED_S = 1.0
# A late answer may be the fault of our own busy event loop.
LATE_PROBES = 3
# A generation may be one that no engine survives: that must not let a tenant eject
# one worker after the other. So an engine has to fail several times in a row, and
# generations of more than one project, which are told apart by their cache salts.
ENGINE_FAILURES = 3
PROJECTS_FAILED = 2

_NEVER = float("-inf")


class WorkerState(enum.Enum):
    UP = "up"
    DOWN = "down"  # does not answer the probe, or has not yet
    EJECTED = "ejected"  # failed generations; gets none for a while
    DRAINING = "draining"  # said it is about to stop


class Health:
    """One worker's health. It begins DOWN: nothing is sent to who never answered."""

    def __init__(self) -> None:
        self.ejections = 0  # ever
        self._answers = False
        self._late_probes = 0
        self._ejections_in_a_row = 0
        self._engine_failures_in_a_row = 0
        self._salts_failed: set[str] = set()
        self._ejected_until = _NEVER
        self._draining_until = _NEVER
        self._overloaded_until = _NEVER

    def state(self, now: float) -> WorkerState:
        if not self._answers:
            return WorkerState.DOWN
        if now < self._ejected_until:
            return WorkerState.EJECTED
        if now < self._draining_until:
            return WorkerState.DRAINING
        return WorkerState.UP

    def on_trial(self) -> bool:
        """It was ejected, and has not generated a token since."""
        return self._ejections_in_a_row > 0

    def overloaded(self, now: float) -> bool:
        return now < self._overloaded_until

    def suspect(self) -> bool:
        """Its engine keeps failing, though perhaps for one project only."""
        return self._engine_failures_in_a_row >= ENGINE_FAILURES

    def probe_answered(self, ready: bool) -> None:
        self._answers = ready
        self._late_probes = 0

    def probe_was_late(self) -> None:
        self._late_probes += 1
        if self._late_probes >= LATE_PROBES:
            self._answers = False

    def said(self, draining: bool, now: float) -> None:
        """It told, beside its load, whether it is about to stop."""
        self._draining_until = now + DRAINING_S if draining else _NEVER

    def generated(self) -> None:
        """A generation got its first token: whatever was wrong is over."""
        self._ejections_in_a_row = 0
        self._engine_failures_in_a_row = 0
        self._salts_failed.clear()

    def failed(
        self,
        reason: Reason,
        now: float,
        *,
        retry_after_ms: int | None = None,
        cache_salt: str = "",
    ) -> None:
        """A generation failed. *cache_salt*: its own, which tells projects apart."""
        match reason:
            case Reason.UNREACHABLE:
                # Until a probe says otherwise: trying again would be guessing.
                self._answers = False
                self._eject(now)
            case (
                Reason.TRITON_ERROR | Reason.ENDED_EARLY | Reason.SILENT | Reason.CONTRACT_VIOLATION
            ):
                self._eject(now)
            case Reason.ENGINE_FAILED:
                self._engine_failures_in_a_row += 1
                if len(self._salts_failed) < PROJECTS_FAILED:
                    self._salts_failed.add(cache_salt)
                if self.suspect() and len(self._salts_failed) >= PROJECTS_FAILED:
                    self._eject(now)
            case Reason.DRAINING:
                self._draining_until = now + DRAINING_S
            case Reason.OVERLOADED:
                pause_s = OVERLOADED_S if retry_after_ms is None else retry_after_ms / 1000
                self._overloaded_until = now + min(pause_s, LONGEST_EJECTION_S)
            case (
                Reason.INVALID_ARGUMENT
                | Reason.CONTEXT_TOO_LONG
                | Reason.NO_FIRST_TOKEN
                | Reason.DEADLINE
            ):
                pass  # not about the worker
            case _:
                assert_never(reason)

    def _eject(self, now: float) -> None:
        if now < self._ejected_until:
            return  # one incident fails many generations
        doublings = min(self._ejections_in_a_row, 16)  # 2**1024 is no float any more
        duration_s = min(FIRST_EJECTION_S * 2**doublings, LONGEST_EJECTION_S)
        self._ejected_until = now + duration_s
        self._ejections_in_a_row += 1
        self.ejections += 1
