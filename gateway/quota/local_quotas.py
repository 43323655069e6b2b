"""Quotas without a store: what one gateway admits of a project's limits by itself. Pure.

While Redis is away each gateway takes its share of the limits, as if there were as many
gateways as there were last. Rates are held to that, budgets are not: soft ones are charged
later, and of a hard one each gateway gives away an allowance at most.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.quota.limits import Limits, Quota, QuotaScope
from gateway.quota.reservation import RateLimitState, Refused

# As reserve.lua: a bucket holds what comes in so long.
BURST_S = 15.0
MINUTE_S = 60.0
# Of a hard budget, what one gateway gives away at most without asking.
ALLOWANCE_SHARE = 0.05
# And of what is left of it: with its peers, a quarter.
REMAINING_PARTS = 4

# By rate: which of a request's costs it counts.
_RATES: tuple[tuple[Quota, str], ...] = (
    ("requests_per_minute", "requests"),
    ("tokens_per_minute", "tokens"),
    ("input_tokens_per_minute", "input_tokens"),
    ("output_tokens_per_minute", "output_tokens"),
)


@dataclass(frozen=True, slots=True)
class Remaining:
    """Of hard budgets, when Redis was last asked. None: nothing is known."""

    daily_tokens: int | None = None
    monthly_tokens: int | None = None


@dataclass(slots=True)
class _Bucket:
    """A GCRA: when it is at rest, in seconds of the clock that the caller gives."""

    rest_at: float = 0.0

    def wait_s(self, now: float, cost: int, per_minute: float) -> float:
        """How long until *cost* passes."""
        burst = max(per_minute * BURST_S / MINUTE_S, 1.0)
        if cost > burst:
            # More than a bucket holds: as long as it is full, it passes, and is paid off after.
            return max(self.rest_at - now, 0.0)
        used = max(self.rest_at - now, 0.0) * per_minute / MINUTE_S
        # Less than a millionth of a token is rounding.
        missing = used + cost - burst
        return missing * MINUTE_S / per_minute if missing > 1e-6 else 0.0

    def take(self, now: float, cost: int, per_minute: float) -> None:
        self.rest_at = max(self.rest_at, now) + cost * MINUTE_S / per_minute


@dataclass(slots=True)
class _Scope:
    """A project, or one of its keys."""

    buckets: dict[Quota, _Bucket] = field(default_factory=dict)
    open_requests: int = 0
    given: dict[Quota, int] = field(default_factory=dict)  # of hard budgets, tokens


@dataclass(frozen=True, slots=True)
class Admitted:
    """What is held of it, to be given back."""

    max_output_tokens: int  # perhaps cut by an allowance
    cut_by_budget: bool


@dataclass(frozen=True, slots=True)
class _Held:
    scopes: tuple[str, ...]
    worst: int


class LocalQuotas:
    """What this gateway has admitted since Redis went away. `reset` when it is back."""

    def __init__(self, *, share: float = 1.0, hard_budgets_allowed: bool = True) -> None:
        """*share*: of a gateway's part of the rates; *hard_budgets_allowed*: whether projects
        with hard budgets are served at all."""
        self._share = share
        self._hard_budgets_allowed = hard_budgets_allowed
        self._scopes: dict[str, _Scope] = {}
        self._held: dict[str, _Held] = {}

    def admit(
        self,
        lease_id: str,
        scopes: tuple[tuple[QuotaScope, str, Limits, Remaining], ...],
        *,
        input_tokens: int,
        output_tokens: int,
        max_output_tokens: int,
        clampable: bool,
        now: float,
        gateways: int,
    ) -> Admitted | Refused | None:
        """Admit a request of these *scopes* (kind, name, limits, remaining), all or nothing.

        None: a hard budget does not allow it; nobody can say when it will. *now*: seconds,
        of any clock that does not jump.
        """
        part = self._share / max(gateways, 1)
        costs = {
            "requests": 1,
            "tokens": input_tokens + output_tokens,
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
        }
        granted = max_output_tokens
        for kind, name, limits, remaining in scopes:
            scope = self._scopes.setdefault(name, _Scope())
            refused = self._refused(scope, kind, limits, costs, now, part)
            if refused is not None:
                return refused
            allowance = self._allowance(scope, limits, remaining, gateways)
            if allowance is not None:
                worst = input_tokens + granted
                if worst > allowance:
                    if not clampable or allowance <= input_tokens:
                        return None
                    granted = allowance - input_tokens
        self._take(lease_id, scopes, costs, input_tokens + granted, now, part)
        return Admitted(granted, granted < max_output_tokens)

    def holds(self, lease_id: str) -> bool:
        """Whether a request was admitted here, and has not ended."""
        return lease_id in self._held

    def ended(self, lease_id: str, used_tokens: int) -> None:
        """Give back what a request has not used; nothing for one that was not admitted here."""
        held = self._held.pop(lease_id, None)
        if held is None:
            return
        for name in held.scopes:
            scope = self._scopes[name]
            scope.open_requests -= 1
            for quota in scope.given:
                scope.given[quota] -= max(held.worst - used_tokens, 0)

    def counted(self, name: str) -> None:
        """Redis has told what is left of a scope: all that has ended is in that."""
        scope = self._scopes.get(name)
        if scope is not None:
            open_worst = sum(held.worst for held in self._held.values() if name in held.scopes)
            scope.given = {quota: open_worst for quota in scope.given}

    def reset(self) -> None:
        """Redis is back: what is still open is forgotten, its charge will tell."""
        self._scopes.clear()
        self._held.clear()

    def _refused(
        self,
        scope: _Scope,
        kind: QuotaScope,
        limits: Limits,
        costs: dict[str, int],
        now: float,
        part: float,
    ) -> Refused | None:
        if limits.rate_mode == "shadow":
            return None
        for quota, cost in _RATES:
            limit = getattr(limits, quota)
            if limit is None:
                continue
            if costs[cost] > limit:
                return Refused(quota, kind, 0, True, RateLimitState(None, None))
            bucket = scope.buckets.get(quota, _Bucket())
            wait_s = bucket.wait_s(now, costs[cost], limit * part)
            if wait_s > 0:
                return Refused(
                    quota, kind, max(int(wait_s * 1000), 1), False, RateLimitState(None, None)
                )
        if limits.concurrent_requests is not None:
            # A gateway alone admits one at least: none at all would be an outage of its own.
            most = max(int(limits.concurrent_requests * part), 1)
            if scope.open_requests >= most:
                return Refused("concurrent_requests", kind, 1000, False, RateLimitState(None, None))
        return None

    def _allowance(
        self, scope: _Scope, limits: Limits, remaining: Remaining, gateways: int
    ) -> int | None:
        """Tokens that this gateway may still give away; None: there is no hard budget."""
        found: int | None = None
        for quota, budget, mode in limits.budgets():
            if mode != "hard":
                continue
            left = getattr(remaining, quota)
            if left is None or not self._hard_budgets_allowed:
                return 0
            most = min(int(budget * ALLOWANCE_SHARE), left // (max(gateways, 1) * REMAINING_PARTS))
            allowed = most - scope.given.get(quota, 0)
            found = allowed if found is None else min(found, allowed)
        return found

    def _take(
        self,
        lease_id: str,
        scopes: tuple[tuple[QuotaScope, str, Limits, Remaining], ...],
        costs: dict[str, int],
        worst: int,
        now: float,
        part: float,
    ) -> None:
        for _, name, limits, _ in scopes:
            scope = self._scopes[name]
            scope.open_requests += 1
            for quota, cost in _RATES:
                limit = getattr(limits, quota)
                if limit is not None:
                    bucket = scope.buckets.setdefault(quota, _Bucket())
                    bucket.take(now, costs[cost], limit * part)
            for quota, _, mode in limits.budgets():
                if mode == "hard":
                    scope.given[quota] = scope.given.get(quota, 0) + worst
        self._held[lease_id] = _Held(tuple(name for _, name, _, _ in scopes), worst)
