"""What a project, or a key, may use. Pure.

A project has limits, and each of its keys may have more of its own; a request
needs room under both. Any subset may be set.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

# The words of reserve.lua, of the admin API and of `gwctl` alike.
Quota = Literal[
    "requests_per_minute",
    "tokens_per_minute",
    "input_tokens_per_minute",
    "output_tokens_per_minute",
    "concurrent_requests",
    "daily_tokens",
    "monthly_tokens",
]
QUOTAS: tuple[Quota, ...] = get_args(Quota)
BUDGETS: tuple[Quota, ...] = ("daily_tokens", "monthly_tokens")
QuotaScope = Literal["project", "key"]

# hard: refuse. shadow: admit, but count what would have been refused.
RateMode = Literal["hard", "shadow"]
# hard: reserve the worst case, so that the budget is never exceeded. soft: refuse once it
# is spent, so what is in flight then may exceed it. shadow: as above.
BudgetMode = Literal["hard", "soft", "shadow"]
RATE_MODES: tuple[RateMode, ...] = get_args(RateMode)
BUDGET_MODES: tuple[BudgetMode, ...] = get_args(BudgetMode)

# A double counts to 2^53; far below it, sums of used and reserved stay exact.
MAX_LIMIT = 10**15
_TEXT = re.compile(r"(?:(\d*),){7}(hard|shadow),(hard|soft|shadow),(hard|soft|shadow)")


@dataclass(frozen=True, slots=True)
class Limits:
    """Quotas; None means unlimited. Tokens are input and output together unless they say.

    Days and months are UTC; a request belongs to those it was admitted in.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    daily_tokens: int | None = None
    monthly_tokens: int | None = None
    rate_mode: RateMode = "hard"  # of what is counted a minute, and of concurrent requests
    daily_mode: BudgetMode = "hard"
    monthly_mode: BudgetMode = "hard"

    def __post_init__(self) -> None:
        """Raises ValueError for a limit that would admit nothing, and for an unknown mode."""
        for quota in QUOTAS:
            limit = getattr(self, quota)
            if limit is not None and limit < 1:
                raise ValueError(f"{quota} must be at least 1, or left out for unlimited")
            if limit is not None and limit > MAX_LIMIT:
                raise ValueError(f"{quota} must be at most {MAX_LIMIT}")
        for name, modes in MODES.items():
            if getattr(self, name) not in modes:
                raise ValueError(f"{name} must be one of {', '.join(modes)}")

    def budgets(self) -> Iterator[tuple[Quota, int, BudgetMode]]:
        """Those of a day and a month that there are: the quota, its tokens, its mode."""
        if self.daily_tokens is not None:
            yield "daily_tokens", self.daily_tokens, self.daily_mode
        if self.monthly_tokens is not None:
            yield "monthly_tokens", self.monthly_tokens, self.monthly_mode

    def changed(self, changes: Mapping[str, int | str | None]) -> Limits:
        """These limits, but for those that are named in *changes*.

        Raises ValueError as the constructor does, and TypeError for what is no limit.
        """
        return replace(self, **changes)  # type: ignore[arg-type]  # the constructor checks


MODES: dict[str, tuple[str, ...]] = {
    "rate_mode": RATE_MODES,
    "daily_mode": BUDGET_MODES,
    "monthly_mode": BUDGET_MODES,
}
NO_LIMITS = Limits()


def limits_text(limits: Limits) -> str:
    """One line for Redis, as includes/limits.lua reads it: seven numbers, three modes."""
    numbers = (getattr(limits, quota) for quota in QUOTAS)
    modes = (str(getattr(limits, mode)) for mode in MODES)
    return ",".join([*("" if number is None else str(number) for number in numbers), *modes])


def read_limits(text: str) -> Limits:
    """The limits in that line. Raises ValueError for anything else."""
    if _TEXT.fullmatch(text) is None:
        raise ValueError(f"these are no limits: {text!r}")
    parts = text.split(",")
    numbers = {
        str(quota): int(number) if number else None
        for quota, number in zip(QUOTAS, parts, strict=False)
    }
    rate_mode, daily_mode, monthly_mode = parts[len(QUOTAS) :]
    return Limits(
        **numbers,
        rate_mode=rate_mode,  # type: ignore[arg-type]  # the pattern has checked the words
        daily_mode=daily_mode,  # type: ignore[arg-type]
        monthly_mode=monthly_mode,  # type: ignore[arg-type]
    )
