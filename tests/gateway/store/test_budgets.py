"""Budgets of a day and a month: hard ones are never exceeded, whatever comes together."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

import anyio
import pytest
from redis.asyncio import Redis

from gateway.quota.reservation import Refused, Reservation, ShadowRefusal
from gateway.quota.usage import Usage
from gateway.store import keys
from gateway.store.ledger import RedisLedger
from gateway.store.scope_state import ScopeState, read_scope_state
from tests.gateway.store.conftest import PROJECT, Clock, CreateProject, Reserve

HOUR_MS = 3_600_000


async def admitted(answer: object) -> Reservation:
    assert isinstance(answer, Reservation)
    return answer


def refusal(answer: object) -> tuple[str, str, int, bool]:
    assert isinstance(answer, Refused)
    return answer.quota, answer.scope, answer.retry_after_ms, answer.too_large


async def state_of(redis: Redis, field: str = "p") -> ScopeState:
    return read_scope_state(cast("bytes", await redis.hget(keys.quota_state(PROJECT), field)))


async def settle(ledger: RedisLedger, reservation: Reservation, tokens: int) -> None:
    await ledger.settle(reservation, Usage(tokens, 0, 0, 0), status="completed")


async def test_a_hard_budget_reserves_the_worst_case_and_gives_back_the_rest(
    create_project: CreateProject, reserve: Reserve, ledger: RedisLedger, redis: Redis
) -> None:
    await create_project(daily_tokens=1000)
    first = await admitted(await reserve("a", 100, 50, most=700))
    # It is noon: twelve hours are left of the day.
    assert refusal(await reserve("b", 100, 1, most=101)) == (
        *("daily_tokens", "project"),
        *(12 * HOUR_MS, False),
    )
    await admitted(await reserve("c", 100, 1, most=100))
    await settle(ledger, first, 150)
    assert (await state_of(redis)).day_used == 150
    assert (await state_of(redis)).day_reserved == 200
    await admitted(await reserve("b", 100, 1, most=101))


async def test_a_hard_budget_is_never_exceeded_by_what_comes_together(
    create_project: CreateProject, reserve: Reserve, ledger: RedisLedger, redis: Redis
) -> None:
    await create_project(daily_tokens=10_000, monthly_tokens=10**9)
    used = []
    # More would wait for each other on a busy machine for longer than a call may take.
    together = anyio.CapacityLimiter(40)

    async def one(n: int) -> None:
        async with together:
            answer = await reserve(f"lease{n}", 70, 10, most=30)
            if isinstance(answer, Reservation):
                await settle(ledger, answer, 100)
                used.append(100)

    async with anyio.create_task_group() as tasks:
        for n in range(300):
            tasks.start_soon(one, n)
    assert sum(used) == 10_000
    state = await state_of(redis)
    assert (state.day_used, state.day_reserved) == (10_000, 0)
    assert (state.month_used, state.month_reserved) == (10_000, 0)


async def test_who_has_not_said_a_maximum_is_cut_to_what_is_left(
    create_project: CreateProject, reserve: Reserve
) -> None:
    await create_project(daily_tokens=1000)
    cut = await admitted(await reserve("a", 400, 256, most=32_768, clampable=True))
    assert (cut.max_output_tokens, cut.cut_by_budget) == (600, True)
    # The same again, when its answer was lost.
    again = await admitted(await reserve("a", 400, 256, most=32_768, clampable=True))
    assert again.max_output_tokens == 600
    assert refusal(await reserve("b", 1, 1, most=32_768, clampable=True))[0] == "daily_tokens"


async def test_an_input_that_a_budget_does_not_cover_is_refused_not_cut(
    create_project: CreateProject, reserve: Reserve
) -> None:
    await create_project(daily_tokens=1000)
    await admitted(await reserve("a", 600, 1, most=1))
    # 399 are left, and one token of output at least has to fit.
    answer = await reserve("b", 399, 256, most=32_768, clampable=True)
    assert refusal(answer)[0] == "daily_tokens"
    assert (
        await admitted(await reserve("c", 398, 1, most=9, clampable=True))
    ).max_output_tokens == 1


async def test_what_exceeds_a_whole_budget_is_too_large(
    create_project: CreateProject, reserve: Reserve
) -> None:
    await create_project(monthly_tokens=1000)
    assert refusal(await reserve("a", 500, 1, most=501)) == ("monthly_tokens", "project", 0, True)


async def test_a_soft_budget_refuses_once_it_is_spent(
    create_project: CreateProject, reserve: Reserve, ledger: RedisLedger
) -> None:
    await create_project(daily_tokens=1000, daily_mode="soft")
    # What is in flight does not count, nor what an answer may need at worst.
    running = [await admitted(await reserve(f"lease{n}", 100, 50, most=100_000)) for n in range(20)]
    await settle(ledger, running.pop(), 1000)
    assert refusal(await reserve("late", 1, 0, most=0))[0] == "daily_tokens"


async def test_a_budget_in_shadow_mode_admits_and_tells(
    create_project: CreateProject, reserve: Reserve
) -> None:
    await create_project(daily_tokens=100, daily_mode="shadow")
    assert (await admitted(await reserve("a", 100))).shadow_refusals == ()
    told = (await admitted(await reserve("b", 1))).shadow_refusals
    assert told == (ShadowRefusal("project", "daily_tokens"),)


async def test_rates_in_shadow_mode_admit_and_tell_and_are_never_in_debt(
    create_project: CreateProject, reserve: Reserve, clock: Clock
) -> None:
    await create_project(4, 1000, 1, rate_mode="shadow")
    assert (await admitted(await reserve("a", 100))).shadow_refusals == ()
    told = (await admitted(await reserve("b", 5000))).shadow_refusals
    assert {refusal.quota for refusal in told} == {
        *("requests_per_minute", "tokens_per_minute", "concurrent_requests")
    }
    # Enforced, b would have cost nothing: no more than the burst stands against the next.
    await clock.advance(15)
    told = (await admitted(await reserve("c", 1))).shadow_refusals
    assert {refusal.quota for refusal in told} == {"concurrent_requests"}


async def test_a_budget_is_renewed_when_its_period_ends(
    create_project: CreateProject, reserve: Reserve, ledger: RedisLedger, clock: Clock
) -> None:
    await create_project(daily_tokens=100, monthly_tokens=150)
    await clock.set(datetime(2026, 11, 30, 23, 0, tzinfo=UTC))
    await settle(ledger, await admitted(await reserve("a", 100)), 100)
    assert refusal(await reserve("b", 1)) == ("daily_tokens", "project", HOUR_MS, False)
    await clock.advance(3600)
    await settle(ledger, await admitted(await reserve("b", 100)), 100)
    await clock.set(datetime(2026, 12, 2, tzinfo=UTC))
    assert refusal(await reserve("c", 60)) == (
        *("monthly_tokens", "project"),
        *(30 * 24 * HOUR_MS, False),
    )
    await clock.set(datetime(2027, 1, 1, tzinfo=UTC))
    await admitted(await reserve("c", 60))


async def test_a_response_that_crosses_midnight_is_of_the_day_it_began_on(
    create_project: CreateProject,
    reserve: Reserve,
    ledger: RedisLedger,
    redis: Redis,
    clock: Clock,
) -> None:
    await create_project(daily_tokens=1000, monthly_tokens=10_000)
    await clock.set(datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC))
    crossing = await admitted(await reserve("a", 100, 1, most=500))
    await clock.advance(2)
    await admitted(await reserve("b", 50))
    await settle(ledger, crossing, 300)
    state = await state_of(redis)
    assert (state.month, state.day_used, state.day_reserved) == (202612, 0, 50)
    assert (state.month_used, state.month_reserved) == (0, 50)


async def test_a_clock_that_is_set_back_brings_no_spent_budget_back(
    create_project: CreateProject,
    reserve: Reserve,
    ledger: RedisLedger,
    redis: Redis,
    clock: Clock,
) -> None:
    await create_project(daily_tokens=100)
    await clock.set(datetime(2026, 12, 1, 0, 0, 1, tzinfo=UTC))
    await settle(ledger, await admitted(await reserve("a", 60)), 60)
    await clock.advance(-2)  # November again
    assert refusal(await reserve("b", 60))[0] == "daily_tokens"
    late = await admitted(await reserve("c", 30))
    # Of the later day: what it reserves is given back there.
    assert late.month == 202612
    await settle(ledger, late, 10)
    state = await state_of(redis)
    assert (state.day_used, state.day_reserved) == (70, 0)


@pytest.mark.parametrize(
    ("limits", "quota"),
    [
        ({"input_tokens_per_minute": 1000}, "input_tokens_per_minute"),
        ({"output_tokens_per_minute": 1000}, "output_tokens_per_minute"),
    ],
)
async def test_input_and_output_have_rates_of_their_own(
    create_project: CreateProject, reserve: Reserve, limits: dict[str, int], quota: str
) -> None:
    await create_project(**limits)
    of_input = quota.startswith("input")
    first = await admitted(await reserve("a", 200 if of_input else 9999, 9999 if of_input else 200))
    assert first.rate_limits.tokens is not None
    assert (first.rate_limits.tokens.limit, first.rate_limits.tokens.remaining) == (1000, 50)
    answer = await reserve("b", 100 if of_input else 1, 1 if of_input else 100)
    assert refusal(answer) == (quota, "project", 3000, False)
