"""What a project's quotas and books should be, in Python: the scripts' contract, once more.

No Redis here, and no clock: `now_us` is set by the walk. Numbers are doubles, as in Lua.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from gateway.quota.limits import NO_LIMITS, Limits

MINUTE_US = 60_000_000
BURST_US = 15_000_000
MAX_DEBT_US = 60 * MINUTE_US
DAY_US = 86_400_000_000
CHUNK = 1024
EPOCH = date(1970, 1, 1)
PROJECT = "p"

RATES = (
    ("requests", "requests_per_minute"),
    ("tokens", "tokens_per_minute"),
    ("input", "input_tokens_per_minute"),
    ("output", "output_tokens_per_minute"),
)


def month_of(day: int) -> int:
    found = EPOCH + timedelta(days=day)
    return found.year * 100 + found.month


@dataclass
class Scope:
    """The project, or a key."""

    requests: float = 0
    tokens: float = 0
    input: float = 0
    output: float = 0
    day: int = 0
    day_used: int = 0
    day_reserved: int = 0
    month: int = 0
    month_used: int = 0
    month_reserved: int = 0

    def roll(self, day: int, month: int) -> None:
        if self.day < day:
            self.day, self.day_used, self.day_reserved = day, 0, 0
        if self.month < month:
            self.month, self.month_used, self.month_reserved = month, 0, 0


@dataclass(frozen=True)
class Tokens:
    """What was used: input, cached, output, reasoning."""

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0


NOTHING = Tokens()


@dataclass
class Lease:
    kid: str
    admitted_ms: int
    day: int
    month: int
    input: int
    output: int
    worst: int
    key_counts: bool
    ends_ms: float
    used: Tokens = NOTHING


@dataclass(frozen=True)
class Admitted:
    admitted_ms: int
    day: int
    month: int
    max_output: int
    input: int
    output: int


@dataclass
class Model:
    """A project with some keys."""

    limits: Limits
    key_limits: dict[str, Limits]
    lease_ms: int
    now_us: int = 0
    scopes: dict[str, Scope] = field(default_factory=dict)
    clocks: dict[str, int] = field(default_factory=dict)  # by tier, virtual time
    leases: dict[str, Lease] = field(default_factory=dict)
    tombs: dict[str, Counter[str] | None] = field(default_factory=dict)  # None: released
    settled: set[str] = field(default_factory=set)
    ledger: list[tuple[str, str, Counter[str], int, str]] = field(default_factory=list)

    @property
    def now_ms(self) -> int:
        return self.now_us // 1000

    def limits_of(self, name: str) -> Limits:
        return self.limits if name == PROJECT else self.key_limits.get(name, NO_LIMITS)

    def live(self, kid: str | None) -> int:
        """Leases that have not ended: of the project, or those that count for a key."""
        return sum(
            lease.ends_ms > self.now_ms and (kid is None or (lease.key_counts and lease.kid == kid))
            for lease in self.leases.values()
        )

    def reserve(
        self,
        lease_id: str,
        kid: str,
        *,
        input: int,
        output: int,
        max_output: int,
        clampable: bool,
        tier: str = "default",
        floor: int = 0,
    ) -> Admitted | set[str] | None:
        """None: the lease has ended already. Else what is admitted, or which quotas refuse."""
        if lease_id in self.tombs:
            return None
        held = self.leases.get(lease_id)
        if held is not None:
            return Admitted(
                held.admitted_ms, held.day, held.month, held.worst - held.input, input, output
            )
        today = self.now_us // DAY_US
        project = replace(self.scopes.get(PROJECT, Scope()))
        project.roll(today, 0)
        day = project.day
        month = month_of(day)
        project.roll(day, month)
        key = replace(self.scopes.get(kid, Scope()))
        key.roll(day, month)
        both = ((PROJECT, project), (kid, key))
        left = math.inf
        for name, scope in both:
            limits = self.limits_of(name)
            if limits.daily_tokens is not None and limits.daily_mode == "hard":
                left = min(left, limits.daily_tokens - scope.day_used - scope.day_reserved)
            if limits.monthly_tokens is not None and limits.monthly_mode == "hard":
                left = min(left, limits.monthly_tokens - scope.month_used - scope.month_reserved)
        if clampable and left > input:
            max_output = int(min(max_output, left - input))
        output = min(output, max_output)
        refusing: set[str] = set()
        for name, scope in both:
            refusing |= self._refusing(name, scope, kid, input, output, max_output)
        if refusing:
            return refusing
        self.clocks[tier] = max(self.clocks.get(tier, 0), floor)
        for name, scope in both:
            self._debit(name, scope, input, output, max_output)
            self.scopes[name] = scope
        self.leases[lease_id] = Lease(
            kid,
            self.now_ms,
            day,
            month,
            input,
            output,
            input + max_output,
            self.limits_of(kid).concurrent_requests is not None,
            self.now_ms + self.lease_ms,
        )
        return Admitted(self.now_ms, day, month, max_output, input, output)

    def _refusing(
        self, name: str, scope: Scope, kid: str, input: int, output: int, max_output: int
    ) -> set[str]:
        limits, found = self.limits_of(name), set()
        which = "project" if name == PROJECT else "key"
        if limits.rate_mode != "shadow":
            costs = {"requests": 1, "tokens": input + output, "input": input, "output": output}
            for bucket, quota in RATES:
                limit = getattr(limits, quota)
                if limit is None:
                    continue
                cost_us = costs[bucket] * MINUTE_US / limit
                backlog = self._backlog(getattr(scope, bucket))
                if cost_us > MINUTE_US or backlog + min(cost_us, BURST_US) - BURST_US > 0:
                    found.add(f"{which}:{quota}")
            most = limits.concurrent_requests
            if most is not None and self.live(None if name == PROJECT else kid) >= most:
                found.add(f"{which}:concurrent_requests")
        for quota, mode, used, reserved in (
            ("daily_tokens", limits.daily_mode, scope.day_used, scope.day_reserved),
            ("monthly_tokens", limits.monthly_mode, scope.month_used, scope.month_reserved),
        ):
            budget = getattr(limits, quota)
            if budget is None or mode == "shadow":
                continue
            soft = mode == "soft"
            cost = input + (output if soft else max_output)
            if used + (0 if soft else reserved) + cost > budget:
                found.add(f"{which}:{quota}")
        return found

    def _debit(self, name: str, scope: Scope, input: int, output: int, max_output: int) -> None:
        limits = self.limits_of(name)
        costs = {"requests": 1, "tokens": input + output, "input": input, "output": output}
        for bucket, quota in RATES:
            limit = getattr(limits, quota)
            if limit is None:
                continue
            backlog = self._backlog(getattr(scope, bucket)) + costs[bucket] * MINUTE_US / limit
            if limits.rate_mode == "shadow":
                backlog = min(backlog, BURST_US)
            setattr(scope, bucket, math.floor(self.now_us + backlog))
        scope.day_reserved += input + max_output
        scope.month_reserved += input + max_output

    def renew(self, told: Mapping[str, Tokens]) -> set[str]:
        """Which leases are not known. Buckets take at once what all of them need more."""
        unknown: set[str] = set()
        more: Counter[str] = Counter()
        for lease_id, used in told.items():
            lease = self.leases.get(lease_id)
            if lease is None:
                unknown.add(lease_id)
                continue
            before = lease.used
            lease.used = Tokens(
                max(before.input, used.input),
                max(before.cached, used.cached),
                max(before.output, used.output),
                max(before.reasoning, used.reasoning),
            )
            lease.ends_ms = self.now_ms + self.lease_ms
            if lease.used.output > lease.output:
                taken = CHUNK * math.ceil((lease.used.output - lease.output) / CHUNK)
                lease.output += taken
                more.update({PROJECT: taken, lease.kid: taken})
        for name, tokens in more.items():
            self._correct(name, self.scopes[name], 0, tokens)
        return unknown

    def settle(
        self, lease_id: str, kid: str, told: Admitted, used: Tokens, tier: str = "default"
    ) -> str:
        if lease_id in self.settled:
            return "duplicate"
        self.settled.add(lease_id)
        work = 5 * (used.input - used.cached) + used.cached + 20 * used.output
        self.clocks[tier] = self.clocks.get(tier, 0) + work * {"flex": 16, "default": 4}[tier]
        amounts = _amounts(1, used)
        lease = self.leases.get(lease_id)
        if lease is not None:
            verdict = "settled"
            excess = used.input - lease.input, used.output - lease.output
        elif (before := self.tombs.get(lease_id)) is not None:
            verdict = "adjusted"
            amounts.subtract(before)
            excess = amounts["input"], amounts["output"]
            del self.tombs[lease_id]
        else:
            verdict = "lost"
            excess = max(used.input - told.input, 0), max(used.output - told.output, 0)
        self._end(lease_id, lease, kid, told.day, told.month, amounts, excess)
        self.ledger.append((lease_id, verdict, amounts, told.day, kid))
        return verdict

    def release(self, lease_id: str, kid: str) -> bool:
        self.tombs.setdefault(lease_id, None)
        lease = self.leases.get(lease_id)
        if lease is None:
            return False
        nothing = Counter[str]()
        excess = -lease.input, -lease.output
        self._end(lease_id, lease, kid, lease.day, lease.month, nothing, excess)
        return True

    def reap(self) -> set[str]:
        """Everything that has ended."""
        ended = [each for each, lease in self.leases.items() if lease.ends_ms <= self.now_ms]
        for lease_id in sorted(ended, key=lambda each: (self.leases[each].ends_ms, each)):
            lease = self.leases[lease_id]
            used = lease.used if lease.used.output > 0 else NOTHING
            amounts = _amounts(int(used.output > 0), used)
            self.tombs[lease_id] = amounts
            excess = used.input - lease.input, used.output - lease.output
            self._end(lease_id, lease, lease.kid, lease.day, lease.month, amounts, excess)
            self.ledger.append((lease_id, "orphan", amounts, lease.day, lease.kid))
        return set(ended)

    def counters(self) -> dict[tuple[int, str], Counter[str]]:
        """By day and key, what the ledger says."""
        sums: dict[tuple[int, str], Counter[str]] = {}
        for _, _, amounts, day, kid in self.ledger:
            sums.setdefault((day, kid), Counter()).update(amounts)
        return sums

    def _end(
        self,
        lease_id: str,
        lease: Lease | None,
        kid: str,
        day: int,
        month: int,
        amounts: Counter[str],
        excess: tuple[int, int],
    ) -> None:
        self.leases.pop(lease_id, None)
        held = 0 if lease is None else lease.worst
        tokens = amounts["input"] + amounts["output"]
        for name in (PROJECT, kid):
            scope = self.scopes.setdefault(name, Scope())
            scope.roll(day, month)
            self._correct(name, scope, *excess)
            if scope.day == day:
                scope.day_used += tokens
                scope.day_reserved = max(scope.day_reserved - held, 0)
            if scope.month == month:
                scope.month_used += tokens
                scope.month_reserved = max(scope.month_reserved - held, 0)

    def _correct(self, name: str, scope: Scope, input: int, output: int) -> None:
        limits = self.limits_of(name)
        for bucket, quota, count in (
            ("tokens", "tokens_per_minute", input + output),
            ("input", "input_tokens_per_minute", input),
            ("output", "output_tokens_per_minute", output),
        ):
            limit = getattr(limits, quota)
            if limit is None or count == 0:
                continue
            rest = math.floor(max(getattr(scope, bucket), self.now_us) + count * MINUTE_US / limit)
            setattr(scope, bucket, min(max(rest, 0), self.now_us + MAX_DEBT_US))

    def _backlog(self, rest_us: float) -> float:
        return min(max(rest_us - self.now_us, 0), MAX_DEBT_US)


def _amounts(requests: int, used: Tokens) -> Counter[str]:
    return Counter(
        requests=requests,
        input=used.input,
        cached=used.cached,
        output=used.output,
        reasoning=used.reasoning,
    )
