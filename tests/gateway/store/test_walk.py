"""Random walks of a project's life against a model: nothing is lost, nothing is counted twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from gateway.quota.limits import Limits
from gateway.quota.reservation import Refused, Reservation
from gateway.quota.usage import Usage
from gateway.store.administration import Administration
from gateway.store.ledger import RedisLedger
from gateway.store.usage import EPOCH, UsageReader
from tests.gateway.store.conftest import KID, PROJECT, Clock

LIMITS = Limits(requests_per_minute=120, tokens_per_minute=6000, concurrent_requests=4)
START = datetime(2026, 11, 30, 20, tzinfo=UTC)  # four hours before a month ends
BURST_S, LEASE_S = 15, 120
US_PER_TOKEN = 60_000_000 / 6000  # whole, so the model and the script agree to the microsecond
US_PER_REQUEST = 60_000_000 / 120

Advance = st.tuples(
    st.just("advance"), st.sampled_from([0.0, 0.3, 2.0, 14.0, 61.0, 120.0, 30_000.0])
)
Reserve = st.tuples(st.just("reserve"), st.sampled_from([0, 1, 100, 1000, 1500, 1501, 6000, 6001]))
Retry = st.tuples(st.just("retry"), st.integers(0, 20))
Settle = st.tuples(st.just("settle"), st.integers(0, 20), st.sampled_from([0, 50, 1000, 7000]))
Again = st.tuples(st.just("again"), st.integers(0, 20))
Step = st.one_of(Advance, Reserve, Reserve, Retry, Settle, Again)


@dataclass
class Model:
    """What a project should look like. Buckets are told by when they are at rest."""

    now_us: float = 0
    requests_rest_us: float = 0
    tokens_rest_us: float = 0
    lease_ends_us: dict[str, float] = field(default_factory=dict)
    charged: Counter[tuple[int, str]] = field(default_factory=Counter)

    def refusals(self, tokens: int) -> set[str]:
        """The quotas that refuse; empty = admitted."""
        live = sum(end > self.now_us for end in self.lease_ends_us.values())
        too_late = {
            "requests_per_minute": self._too_late(self.requests_rest_us, US_PER_REQUEST),
            "tokens_per_minute": self._too_late(self.tokens_rest_us, tokens * US_PER_TOKEN)
            or tokens > 6000,
            "concurrent_requests": live >= 4,
        }
        return {quota for quota, refuses in too_late.items() if refuses}

    def _too_late(self, rest_us: float, cost_us: float) -> bool:
        backlog_us = max(rest_us - self.now_us, 0)
        return backlog_us > 0 and backlog_us + cost_us > BURST_S * 1_000_000

    def admit(self, lease_id: str, tokens: int) -> None:
        self.requests_rest_us = max(self.requests_rest_us, self.now_us) + US_PER_REQUEST
        self.tokens_rest_us = max(self.tokens_rest_us, self.now_us) + tokens * US_PER_TOKEN
        self.lease_ends_us[lease_id] = self.now_us + LEASE_S * 1_000_000

    def settle(self, reservation: Reservation, used: int, verdict: str) -> None:
        difference = used - reservation.input_tokens
        if verdict == "lost":
            difference = max(difference, 0)
        rest_us = max(self.tokens_rest_us, self.now_us) + difference * US_PER_TOKEN
        self.tokens_rest_us = min(max(rest_us, self.now_us), self.now_us + 300_000_000)
        self.lease_ends_us.pop(reservation.lease_id, None)
        self.charged[reservation.day, "requests"] += 1
        self.charged[reservation.day, "tokens"] += used


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(Step, max_size=40))
async def test_a_project_is_what_the_model_says(
    redis: Redis, ledger: RedisLedger, clock: Clock, steps: list[tuple[str, float, int]]
) -> None:
    await redis.flushall()
    await clock.set(START)
    await Administration(redis).create_project("test", LIMITS, with_id=PROJECT)
    model = Model()
    admitted: list[Reservation] = []
    settled: list[Reservation] = []

    async def reserve(lease_id: str, tokens: int) -> object:
        return await ledger.reserve(
            lease_id=lease_id,
            project_id=PROJECT,
            config_version=1,
            kid=KID,
            model="m",
            input_tokens=tokens,
            output_tokens=0,
            max_output_tokens=0,
            clampable=False,
        )

    async def settle(reservation: Reservation, used: int) -> str:
        usage = Usage(used, 0, 0, 0)
        return await ledger.settle(reservation, usage, status="completed")

    for number, (word, *arguments) in enumerate(steps):
        model.now_us = (clock.now - START) / timedelta(microseconds=1)
        match word, *arguments:
            case "advance", float(seconds):
                await clock.advance(seconds)
            case "reserve", int(tokens):
                answer = await reserve(f"lease{number}", tokens)
                refusals = model.refusals(tokens)
                if isinstance(answer, Refused):
                    assert answer.quota in refusals
                    assert answer.too_large == (tokens > 6000)
                else:
                    assert isinstance(answer, Reservation)
                    assert not refusals
                    model.admit(answer.lease_id, tokens)
                    admitted.append(answer)
            case "retry", int(which) if admitted:
                reservation = admitted[which % len(admitted)]
                # A lease that has ended may have been swept: that would be a new request.
                if model.lease_ends_us[reservation.lease_id] > model.now_us:
                    answer = await reserve(reservation.lease_id, reservation.input_tokens)
                    assert isinstance(answer, Reservation)
                    assert answer.admitted_at_ms == reservation.admitted_at_ms
            case "settle", int(which), int(used) if admitted:
                reservation = admitted.pop(which % len(admitted))
                live = model.lease_ends_us[reservation.lease_id] > model.now_us
                verdict = await settle(reservation, used)
                assert verdict == "settled" or (verdict == "lost" and not live)
                model.settle(reservation, used, verdict)
                settled.append(reservation)
            case "again", int(which) if settled:
                assert await settle(settled[which % len(settled)], 999) == "duplicate"

    reader = UsageReader(redis)
    counted = Counter[tuple[int, str]]()
    for daily in await reader.daily(PROJECT, START.date(), START.date() + timedelta(days=31)):
        counted[(daily.day - EPOCH).days, "requests"] += daily.requests
        counted[(daily.day - EPOCH).days, "tokens"] += daily.usage.input_tokens
    booked = Counter[tuple[int, str]]()
    for entry in await reader.ledger_page(PROJECT, count=1000):
        booked[(entry.day - EPOCH).days, "requests"] += 1
        booked[(entry.day - EPOCH).days, "tokens"] += entry.usage.input_tokens
    assert counted == booked == model.charged
