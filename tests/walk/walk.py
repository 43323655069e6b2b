"""The walk: a step at a time against Redis and against the model, and both compared."""

from __future__ import annotations

import copy
import random
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from redis.asyncio import Redis

from gateway.quota.limits import BUDGET_MODES, NO_LIMITS, QUOTAS, RATE_MODES, Limits, limits_text
from gateway.quota.reservation import Refused, Reservation, Stale
from gateway.quota.service_tier import ServiceTier
from gateway.quota.usage import LeaseProgress, Usage
from gateway.store import keys
from gateway.store.errors import StoreUnavailable
from gateway.store.ledger import RedisLedger
from gateway.store.scope_state import read_counters, read_lease, read_scope_state
from gateway.store.usage import UsageReader
from tests.walk.model import NOTHING, PROJECT, Admitted, Model, Tokens

PROJECT_ID = "prj_walk_walk"
KIDS = tuple(f"kid{number:013d}" for number in range(3))
LEASE_MS = 30_000
EPISODE_STEPS = 400
# Nights in which much ends: months, years, a leap day and one that is none.
STARTS = (
    datetime(2026, 11, 30, 22, tzinfo=UTC),
    datetime(2026, 12, 31, 23, 30, tzinfo=UTC),
    datetime(2028, 2, 28, 23, tzinfo=UTC),
    datetime(2027, 2, 28, 23, tzinfo=UTC),
    datetime(2026, 3, 31, 12, tzinfo=UTC),
)
ADVANCES_S = (0, 0.05, 0.5, 3, 14, 29, 31, 61, 600, 3600, 30_000)
JUMPS_S = (-0.5, -20, -3600, -200_000, 200_000)


@dataclass
class Request:
    """One that was admitted, and what its gateway knows of it."""

    lease_id: str
    kid: str
    reservation: Reservation
    told: Admitted
    used: Tokens = NOTHING


@dataclass
class Walk:
    """One episode: limits of its own, some hundred steps, and everything compared at its end."""

    redis: Redis
    ledger: RedisLedger
    random: random.Random
    steps: Counter[str] = field(default_factory=Counter)

    async def run(self, steps: int) -> None:
        """Raises AssertionError for the first difference."""
        await self._begin()
        actions = {
            self._advance: 12,
            self._jump: 1,
            self._reserve: 20,
            self._reserve_again: 3,
            self._renew: 10,
            self._settle: 14,
            self._settle_again: 4,
            self._release: 3,
            self._reap: 4,
            self._change_limits: 1,
            self._snapshot: 2,
            self._fail_over: 1,
        }
        names = list(actions)
        for number in range(steps):
            (action,) = self.random.choices(names, list(actions.values()))
            try:
                await action()
                await self._compare_state()
                self._check_promises()
            except AssertionError as exc:
                raise AssertionError(f"step {number} ({action.__name__}): {exc}") from exc
            self.steps[action.__name__.removeprefix("_")] += 1
        await self._compare_books()

    async def _begin(self) -> None:
        await self.redis.flushall()
        self.model = Model(
            self._some_limits(project=True),
            {kid: self._some_limits(project=False) for kid in KIDS},
            LEASE_MS,
        )
        self.version = 1
        self.open: list[Request] = []
        self.done: list[tuple[Request, Tokens]] = []
        self.acknowledged: list[tuple[Request, Tokens]] = []  # since the snapshot
        self.saved: tuple[dict[Any, Any], Model, int] | None = None
        self.count = 0
        # Whose budgets may be exceeded by now, and none of ours is to blame.
        self.broken: set[str] = set()
        await self._write_config()
        await self._set_clock(self.random.choice(STARTS))

    def _some_limits(self, *, project: bool) -> Limits:
        if not project and self.random.random() < 0.4:
            return NO_LIMITS
        chance = self.random.random
        sizes = {
            "requests_per_minute": (4, 200),
            "tokens_per_minute": (2000, 60_000),
            "input_tokens_per_minute": (1000, 40_000),
            "output_tokens_per_minute": (1000, 40_000),
            "concurrent_requests": (1, 6),
            "daily_tokens": (5000, 80_000),
            "monthly_tokens": (10_000, 200_000),
        }
        numbers: dict[str, Any] = {
            quota: self.random.randint(*sizes[quota]) for quota in QUOTAS if chance() < 0.4
        }
        hard = chance() < 0.4
        return Limits(
            **numbers,
            rate_mode="hard" if hard else self.random.choice(RATE_MODES),
            daily_mode="hard" if hard else self.random.choice(BUDGET_MODES),
            monthly_mode="hard" if hard else self.random.choice(BUDGET_MODES),
        )

    async def _write_config(self) -> None:
        config: dict[Any, Any] = {
            "ver": str(self.version),
            "limits": limits_text(self.model.limits),
        }
        for kid, limits in self.model.key_limits.items():
            if limits != NO_LIMITS:
                config[f"k:{kid}"] = limits_text(limits)
        await self.redis.delete(keys.config(PROJECT_ID))
        await self.redis.hset(keys.config(PROJECT_ID), mapping=config)

    async def _set_clock(self, now: datetime) -> None:
        self.now = now
        self.model.now_us = (now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        await self.redis.mset({"test:seconds": int(now.timestamp()), "test:us": now.microsecond})

    async def _advance(self) -> None:
        await self._set_clock(self.now + timedelta(seconds=self.random.choice(ADVANCES_S)))

    async def _jump(self) -> None:
        """The clock of a replica that took over is another one."""
        await self._set_clock(self.now + timedelta(seconds=self.random.choice(JUMPS_S)))

    async def _reserve(self) -> None:
        self.count += 1
        lease_id, kid = f"lease{self.count}", self.random.choice(KIDS)
        input_ = self.random.choice((1, 10, 100, 1000, 9000))
        most = self.random.choice((1, 50, 500, 5000))
        await self._ask(
            lease_id,
            kid,
            input_tokens=input_,
            output_tokens=min(most, self.random.choice((10, 256, 3000))),
            max_output_tokens=most,
            clampable=self.random.random() < 0.5,
        )

    async def _reserve_again(self) -> None:
        """A lost answer is asked for again; nothing is debited twice."""
        if self.open:
            request = self.random.choice(self.open)
            reservation = request.reservation
            await self._ask(
                request.lease_id,
                request.kid,
                input_tokens=reservation.input_tokens,
                output_tokens=reservation.output_tokens,
                max_output_tokens=reservation.max_output_tokens,
                clampable=False,
                again=request,
            )

    async def _ask(
        self,
        lease_id: str,
        kid: str,
        *,
        input_tokens: int,
        output_tokens: int,
        max_output_tokens: int,
        clampable: bool,
        again: Request | None = None,
    ) -> None:
        stale = self.random.random() < 0.05
        tier = self.random.choice((ServiceTier.DEFAULT, ServiceTier.FLEX))
        floor = self.random.choice((0, 0, self.random.randrange(10_000_000)))
        if again is not None:
            tier, floor = again.reservation.tier, 0
        live_before = self.model.live(None), self.model.live(kid)
        try:
            answer = await self.ledger.reserve(
                lease_id=lease_id,
                project_id=PROJECT_ID,
                config_version=self.version - stale,
                kid=kid,
                model="m",
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                max_output_tokens=max_output_tokens,
                clampable=clampable,
                tier=tier,
                floor=floor,
            )
        except StoreUnavailable as exc:
            assert "given up" in str(exc)
            assert lease_id in self.model.tombs, "it was never released"
            return
        if stale:
            assert isinstance(answer, Stale), answer
            return
        expected = self.model.reserve(
            lease_id,
            kid,
            input=input_tokens,
            output=output_tokens,
            max_output=max_output_tokens,
            clampable=clampable,
            tier=tier.value,
            floor=floor,
        )
        if isinstance(answer, Refused):
            assert isinstance(expected, set), f"{answer} for {expected}"
            assert f"{answer.scope}:{answer.quota}" in expected, (answer, expected)
            return
        assert isinstance(answer, Reservation)
        assert isinstance(expected, Admitted), f"{answer} for {expected}"
        assert (answer.admitted_at_ms, answer.day, answer.month, answer.max_output_tokens) == (
            expected.admitted_ms,
            expected.day,
            expected.month,
            expected.max_output,
        )
        assert answer.virtual_time == self.model.clocks.get(tier.value, 0)
        if again is not None:
            return
        if lease_id not in self.model.leases:
            return
        for limits, live in zip(
            (self.model.limits, self.model.limits_of(kid)), live_before, strict=True
        ):
            if limits.concurrent_requests is not None and limits.rate_mode == "hard":
                assert live < limits.concurrent_requests, "more at once than the limit"
        told = Admitted(
            answer.admitted_at_ms,
            answer.day,
            answer.month,
            answer.max_output_tokens,
            answer.input_tokens,
            answer.output_tokens,
        )
        self.open.append(Request(lease_id, kid, answer, told))

    async def _renew(self) -> None:
        chosen = [each for each in self.open if self.random.random() < 0.5]
        if not chosen:
            return
        for request in chosen:
            reservation, used = request.reservation, request.used
            output = min(
                used.output + self.random.choice((0, 7, 300, 2000)), reservation.max_output_tokens
            )
            request.used = Tokens(
                reservation.input_tokens, reservation.input_tokens // 3, output, output // 2
            )
        # A renewal that was on its way for long tells less than one before it.
        told = {each.lease_id: each.used for each in chosen}
        for request in chosen:
            if self.random.random() < 0.1:
                told[request.lease_id] = NOTHING
        unknown = await self.ledger.renew(
            PROJECT_ID,
            [
                LeaseProgress(each.lease_id, each.kid, Usage(**_usage(told[each.lease_id])))
                for each in chosen
            ],
        )
        expected = self.model.renew(told)
        assert unknown == expected, (unknown, expected)

    async def _settle(self) -> None:
        if not self.open:
            return
        request = self.open.pop(self.random.randrange(len(self.open)))
        reservation = request.reservation
        output = self.random.randint(request.used.output, reservation.max_output_tokens)
        used = Tokens(reservation.input_tokens, reservation.input_tokens // 2, output, output // 3)
        await self._say(request, used)
        self.done.append((request, used))

    async def _settle_again(self) -> None:
        """A settlement is said again after a lost answer: it is a duplicate."""
        if self.done:
            request, used = self.random.choice(self.done)
            await self._say(request, used)

    async def _say(self, request: Request, used: Tokens) -> None:
        verdict = await self.ledger.settle(
            request.reservation, Usage(**_usage(used)), status="completed"
        )
        tier = request.reservation.tier.value
        expected = self.model.settle(request.lease_id, request.kid, request.told, used, tier)
        assert verdict == expected, (verdict, expected)
        # Its place in the budgets had been given up: others may have taken it meanwhile.
        if verdict in ("lost", "adjusted"):
            self.broken.add(request.kid)
        self.acknowledged.append((request, used))

    async def _release(self) -> None:
        """Of one that is open, whose client got a 503; or of one that never came."""
        if self.open and self.random.random() < 0.7:
            request = self.open.pop(self.random.randrange(len(self.open)))
            lease_id, kid = request.lease_id, request.kid
        else:
            self.count += 1
            lease_id, kid = f"lease{self.count}", KIDS[0]
        await self.ledger.release(project_id=PROJECT_ID, lease_id=lease_id, kid=kid)
        self.model.release(lease_id, kid)

    async def _reap(self) -> None:
        reaped = await self.ledger.reap(PROJECT_ID, limit=1000)
        assert {each.lease_id for each in reaped} == self.model.reap()

    async def _change_limits(self) -> None:
        """Of the project or a key, from the next request on."""
        if self.random.random() < 0.5:
            self.model.limits = self._some_limits(project=True)
        else:
            self.model.key_limits[self.random.choice(KIDS)] = self._some_limits(project=False)
        self.version += 1
        self.broken.add(PROJECT)
        await self._write_config()

    async def _snapshot(self) -> None:
        """What a replica has got."""
        names = await self.redis.keys("*")
        dumped = {name: await self.redis.dump(name) for name in names}
        self.saved = (dumped, copy.deepcopy(self.model), self.version)
        self.acknowledged = []

    async def _fail_over(self) -> None:
        """The replica takes over: what came after is lost, and settlements are said again."""
        if self.saved is None:
            return
        dumped, model, version = self.saved
        await self.redis.flushall()
        for name, value in dumped.items():
            # Markers and tombstones keep their time to live; nothing here lasts that long.
            await self.redis.restore(name, 0, value)
        self.model, self.version = copy.deepcopy(model), version
        self.broken.add(PROJECT)
        await self._set_clock(self.now)
        again, self.acknowledged = self.acknowledged, []
        for request, used in again:
            await self._say(request, used)

    async def _compare_state(self) -> None:
        stored: dict[Any, Any] = await self.redis.hgetall(keys.quota_state(PROJECT_ID))
        clocks = {
            name.removeprefix(b"vt:").decode(): int(stored.pop(name))
            for name in list(stored)
            if name.startswith(b"vt:")
        }
        assert clocks == self.model.clocks, _difference(clocks, self.model.clocks)
        found = {name.decode(): asdict(read_scope_state(value)) for name, value in stored.items()}
        expected = {
            name: {
                "requests_rest_us": scope.requests,
                "tokens_rest_us": scope.tokens,
                "input_rest_us": scope.input,
                "output_rest_us": scope.output,
                "day": scope.day,
                "day_used": scope.day_used,
                "day_reserved": scope.day_reserved,
                "month": scope.month,
                "month_used": scope.month_used,
                "month_reserved": scope.month_reserved,
            }
            for name, scope in self.model.scopes.items()
        }
        assert found == expected, _difference(found, expected)
        packed: dict[Any, Any] = await self.redis.hgetall(keys.leases(PROJECT_ID))
        leases = {
            each.decode(): (lease.kid, lease.input_tokens, lease.output_tokens, lease.budget_tokens)
            for each, value in packed.items()
            for lease in (read_lease(each.decode(), value),)
        }
        modelled = {
            each: (lease.kid, lease.input, lease.output, lease.worst)
            for each, lease in self.model.leases.items()
        }
        assert leases == modelled, _difference(leases, modelled)

    def _check_promises(self) -> None:
        """A hard budget is never exceeded: as long as nobody lowers it, Redis loses nothing, and
        no gateway sleeps for longer than its leases last."""
        if self.broken:
            return
        for name, scope in self.model.scopes.items():
            limits = self.model.limits_of(name)
            for budget, mode, used, reserved in (
                (limits.daily_tokens, limits.daily_mode, scope.day_used, scope.day_reserved),
                (
                    limits.monthly_tokens,
                    limits.monthly_mode,
                    scope.month_used,
                    scope.month_reserved,
                ),
            ):
                if budget is not None and mode == "hard":
                    assert used + reserved <= budget, f"{name}: {used} + {reserved} of {budget}"

    async def _compare_books(self) -> None:
        """Ledger, counters and model say the same of every day and key."""
        booked: dict[tuple[int, str], Counter[str]] = {}
        after = "0-0"
        reader = UsageReader(self.redis)
        while page := await reader.ledger_page(PROJECT_ID, after=after, count=1000):
            for entry in page:
                day = (entry.day - datetime(1970, 1, 1, tzinfo=UTC).date()).days
                booked.setdefault((day, entry.kid), Counter()).update(
                    _counts(entry.requests, entry.usage)
                )
            after = page[-1].entry_id
        expected = self.model.counters()
        assert booked == expected, _difference(booked, expected)
        counted: dict[tuple[int, str], Counter[str]] = {}
        for day in {day for day, _ in expected}:
            stored: dict[Any, Any] = await self.redis.hgetall(keys.usage(PROJECT_ID, day))
            for name, value in stored.items():
                kid = name.decode().rsplit("|", 1)[1]
                counted[day, kid] = _counts(*read_counters(value))
        assert counted == expected, _difference(counted, expected)


def _usage(used: Tokens) -> dict[str, int]:
    return {f"{name}_tokens": value for name, value in asdict(used).items()}


def _counts(requests: int, usage: Usage) -> Counter[str]:
    return Counter(
        requests=requests,
        input=usage.input_tokens,
        cached=usage.cached_tokens,
        output=usage.output_tokens,
        reasoning=usage.reasoning_tokens,
    )


def _difference(found: Any, expected: Any) -> str:
    names = [name for name in {*found, *expected} if found.get(name) != expected.get(name)]
    return "; ".join(
        f"{name}: Redis {found.get(name)}, model {expected.get(name)}" for name in names[:3]
    )
