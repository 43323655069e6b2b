"""How far one generation is in its plan, and when its next token is due. Pure.

Token n is due at a fixed time after the first step, whenever somebody looks: the
pauses of a busy loop are caught up, and the pace does not drift.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence

from workers.engines.simulator.directives import Directives
from workers.engines.simulator.plan import Plan
from workers.settings import SimulatorSettings

# At full speed: enough tokens a step to be fast, few enough that a cancellation
# still finds something to cancel.
_FULL_SPEED_STEP_TOKENS = 16


class Trap(enum.Enum):
    """What a directive makes happen after some tokens."""

    FAIL = "fail"
    HANG = "hang"
    DIE = "die"


class Progress:
    """One plan being spoken. Times are seconds of the loop's clock."""

    def __init__(self, plan: Plan, settings: SimulatorSettings) -> None:
        wanted = plan.directives
        first_token_ms = _first(wanted.first_token_ms, settings.first_token_ms)
        self._first_token_s = first_token_ms / 1000
        self._slow_after = wanted.slow_after
        self._slow_tokens_per_second = wanted.tokens_per_second or 0
        self._tokens_per_second = settings.tokens_per_second
        if wanted.slow_after is None:
            self._tokens_per_second = _first(wanted.tokens_per_second, settings.tokens_per_second)
        self._trap = first_trap(wanted, len(plan.token_ids))
        self._token_ids = plan.token_ids[: self._trap[0]]
        self._next = 0
        # The pace is kept from this token on, which is due then.
        self._paced_from = 0
        self._paced_since = math.inf

    def begin(self, now: float) -> None:
        """The first step."""
        self._paced_since = now + self._first_token_s
        self._slow_down()

    @property
    def due_at(self) -> float:
        """When there is something to take; in the past if there already is."""
        if self._tokens_per_second == 0:
            return self._paced_since
        return self._paced_since + (self._next - self._paced_from) / self._tokens_per_second

    def take(self, now: float) -> Sequence[int]:
        """The tokens that have become due since the last call."""
        if now < self._paced_since:
            return ()
        if self._tokens_per_second == 0:
            stop = self._next + _FULL_SPEED_STEP_TOKENS
        else:
            passed = (now - self._paced_since) * self._tokens_per_second
            stop = self._paced_from + int(passed) + 1
        if self._slow_after is not None:
            stop = min(stop, self._slow_after)
        taken = self._token_ids[self._next : stop]
        self._next += len(taken)
        if self._next == self._slow_after:
            self._paced_since = now + 1 / self._slow_tokens_per_second
            self._slow_down()
        return taken

    def _slow_down(self) -> None:
        """Keep the slow pace from now on, if it is time."""
        if self._next == self._slow_after:
            self._slow_after = None
            self._tokens_per_second = self._slow_tokens_per_second
            self._paced_from = self._next

    @property
    def over(self) -> bool:
        """Was the last token taken?"""
        return self._next == len(self._token_ids)

    @property
    def trap(self) -> Trap | None:
        """What happens then, instead of the plan's ending."""
        return self._trap[1]


def _first(given: float | None, default: float) -> float:
    return default if given is None else given


def first_trap(directives: Directives, length: int) -> tuple[int, Trap | None]:
    """After how many tokens which trap springs; after the last one none does."""
    traps = [
        (directives.fail_after, Trap.FAIL),
        (directives.hang_after, Trap.HANG),
        (directives.die_after, Trap.DIE),
    ]
    set_ = [(after, trap) for after, trap in traps if after is not None and after <= length]
    return min(set_, key=lambda each: each[0], default=(length, None))
