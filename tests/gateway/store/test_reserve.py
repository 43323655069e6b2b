"""reserve.lua on a real Redis: who is admitted, and what a refusal costs (nothing)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio
import pytest
from redis.asyncio import Redis

from gateway.quota.limits import Limits
from gateway.quota.reservation import RateLimit, RateLimitState, Refused, Reservation, Stale
from gateway.store.administration import Administration
from gateway.store.ledger import RedisLedger
from tests.gateway.store.conftest import KID, MODEL, PROJECT, Clock, CreateProject, Reserve

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def refusal(answer: object) -> tuple[str, int, bool]:
    assert isinstance(answer, Refused)
    return answer.quota, answer.retry_after_ms, answer.too_large


async def test_a_project_without_limits_admits_everything(
    create_project: CreateProject, reserve: Reserve, clock: Clock
) -> None:
    await create_project()
    assert await reserve("a", 150_000, 1_000) == Reservation(
        lease_id="a",
        project_id=PROJECT,
        kid=KID,
        model=MODEL,
        input_tokens=150_000,
        output_tokens=1_000,
        max_output_tokens=1_000,
        admitted_at_ms=int(clock.now.timestamp() * 1000),
        day=(clock.now - EPOCH).days,
        month=202611,
        rate_limits=RateLimitState(None, None),
        virtual_time=0,
    )


@pytest.mark.parametrize("limit", [4, 28, 60, 100, 6_000])
async def test_exactly_the_burst_is_admitted_under_contention(
    create_project: CreateProject, reserve: Reserve, limit: int
) -> None:
    await create_project(requests_per_minute=limit)
    burst = limit // 4  # 15 s of a minute
    admitted = []

    async def one(n: int) -> None:
        admitted.append(isinstance(await reserve(f"lease{n}"), Reservation))

    async with anyio.create_task_group() as tasks:
        for n in range(min(burst + 20, 200)):
            tasks.start_soon(one, n)
    assert sum(admitted) == min(burst, 200)


async def test_exactly_the_concurrent_requests_are_admitted_under_contention(
    create_project: CreateProject, reserve: Reserve
) -> None:
    await create_project(concurrent_requests=7)
    answers = []

    async def one(n: int) -> None:
        answers.append(await reserve(f"lease{n}"))

    async with anyio.create_task_group() as tasks:
        for n in range(50):
            tasks.start_soon(one, n)
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert len(answers) - len(refused) == 7
    assert {refusal(answer) for answer in refused} == {("concurrent_requests", 1000, False)}


async def test_a_refused_request_costs_nothing(
    create_project: CreateProject, reserve: Reserve, redis: Redis
) -> None:
    await create_project(requests_per_minute=60, tokens_per_minute=1000)
    await reserve("a", 200)
    before = {key: await redis.dump(key) for key in await redis.keys()}
    # Requests would admit it; tokens do not: neither is debited.
    refused = await reserve("b", 100)
    assert refusal(refused) == ("tokens_per_minute", 3000, False)
    assert before == {key: await redis.dump(key) for key in await redis.keys()}
    assert isinstance(await reserve("c", 50), Reservation)


async def test_a_refused_request_is_admitted_after_the_time_it_was_told(
    create_project: CreateProject, reserve: Reserve, clock: Clock
) -> None:
    await create_project(tokens_per_minute=1000)
    await reserve("a", 200)
    _, retry_after_ms, _ = refusal(await reserve("b", 100))
    await clock.advance(retry_after_ms / 1000 - 0.01)
    assert refusal(await reserve("b", 100)) == ("tokens_per_minute", 10, False)
    await clock.advance(0.01)
    assert isinstance(await reserve("b", 100), Reservation)


async def test_the_longest_wait_is_told(create_project: CreateProject, reserve: Reserve) -> None:
    await create_project(requests_per_minute=4, tokens_per_minute=1000, concurrent_requests=1)
    await reserve("a", 1000)
    assert refusal(await reserve("b", 250)) == ("tokens_per_minute", 60_000, False)
    assert refusal(await reserve("c", 0)) == ("tokens_per_minute", 45_000, False)


async def test_the_buckets_are_told_with_every_answer(
    create_project: CreateProject, reserve: Reserve, clock: Clock
) -> None:
    await create_project(requests_per_minute=60, tokens_per_minute=1000)
    admitted = await reserve("a", 100, 50)
    after = RateLimitState(RateLimit(60, 14, 1000), RateLimit(1000, 100, 9000))
    assert isinstance(admitted, Reservation)
    assert admitted.rate_limits == after
    refused = await reserve("b", 100, 50)
    assert isinstance(refused, Refused)
    assert refused.rate_limits == after
    await clock.advance(8.5)
    later = await reserve("c", 1)
    assert isinstance(later, Reservation)
    assert later.rate_limits == RateLimitState(RateLimit(60, 14, 1000), RateLimit(1000, 240, 560))


async def test_a_request_larger_than_the_burst_is_admitted_at_rest_and_paid_off(
    create_project: CreateProject, reserve: Reserve, clock: Clock
) -> None:
    await create_project(tokens_per_minute=1000)
    large = await reserve("large", 600, 300)
    assert isinstance(large, Reservation)
    assert large.rate_limits.tokens == RateLimit(1000, remaining=0, reset_ms=54_000)
    # 900 tokens are 54 s of the rate; the last 15 s of them are the burst.
    assert refusal(await reserve("small", 1)) == ("tokens_per_minute", 39_060, False)
    assert refusal(await reserve("large2", 900)) == ("tokens_per_minute", 54_000, False)
    await clock.advance(54)
    assert isinstance(await reserve("large2", 900), Reservation)


async def test_a_request_larger_than_a_minute_is_told_that_it_is_too_large(
    create_project: CreateProject, reserve: Reserve
) -> None:
    await create_project(requests_per_minute=1, tokens_per_minute=1000)
    assert isinstance(await reserve("fits", 1000), Reservation)
    # Not "wait", though the other bucket is exhausted too: waiting is no use.
    assert refusal(await reserve("large", 1, 1000)) == ("tokens_per_minute", 0, True)


async def test_a_retried_reserve_is_answered_again_and_debited_once(
    create_project: CreateProject, reserve: Reserve, redis: Redis
) -> None:
    await create_project(requests_per_minute=4, tokens_per_minute=1000, concurrent_requests=1)
    first = await reserve("a", 250)
    before = {key: await redis.dump(key) for key in await redis.keys()}
    assert await reserve("a", 250) == first
    assert before == {key: await redis.dump(key) for key in await redis.keys()}


async def test_a_lease_that_nobody_renews_frees_its_concurrency_when_it_ends(
    create_project: CreateProject, reserve: Reserve, clock: Clock
) -> None:
    await create_project(concurrent_requests=2)
    for n in range(2):
        await reserve(f"dead{n}")
    await clock.advance(119.999)
    assert isinstance(await reserve("a"), Refused)
    await clock.advance(0.001)
    assert isinstance(await reserve("a"), Reservation)


async def test_a_grant_of_another_version_is_stale(
    create_project: CreateProject, reserve: Reserve, redis: Redis
) -> None:
    await create_project()
    await Administration(redis).set_limits(PROJECT, {"requests_per_minute": 4})
    assert await reserve("a", version=1) == Stale()
    assert isinstance(await reserve("a", version=2), Reservation)
    await redis.delete(f"gw:{{{PROJECT}}}:cfg")
    assert await reserve("b", version=2) == Stale()


async def test_two_projects_do_not_share_their_quotas(
    create_project: CreateProject, reserve: Reserve, ledger: RedisLedger, redis: Redis
) -> None:
    await create_project(requests_per_minute=1)
    await Administration(redis).create_project("other", Limits(1), with_id="prj_other")
    assert isinstance(await reserve("a"), Reservation)
    assert isinstance(await reserve("b"), Refused)
    other = await ledger.reserve(
        lease_id="a",
        project_id="prj_other",
        config_version=1,
        kid=KID,
        model=MODEL,
        input_tokens=1,
        output_tokens=0,
        max_output_tokens=0,
        clampable=False,
    )
    assert isinstance(other, Reservation)


@pytest.mark.parametrize(
    "midnight",
    [
        datetime(2026, 12, 1, tzinfo=UTC),
        datetime(2027, 1, 1, tzinfo=UTC),
        datetime(2028, 2, 29, tzinfo=UTC),
        datetime(2028, 3, 1, tzinfo=UTC),
    ],
)
async def test_the_day_of_a_request_changes_at_midnight_utc(
    create_project: CreateProject, reserve: Reserve, clock: Clock, midnight: datetime
) -> None:
    await create_project()
    days = []
    for now in (midnight - timedelta(microseconds=1), midnight):
        await clock.set(now)
        admitted = await reserve(now.isoformat())
        assert isinstance(admitted, Reservation)
        days.append(EPOCH + timedelta(days=admitted.day))
    assert days == [midnight - timedelta(days=1), midnight]


async def test_the_long_run_rate_is_exact(
    create_project: CreateProject, reserve: Reserve, clock: Clock
) -> None:
    """A client that always comes back when it is told to gets its limit, whatever it sends."""
    await create_project(tokens_per_minute=1000)
    started_at, admitted_tokens, n = clock.now, 0, 0
    costs = (10, 900, 251, 33, 250, 1000, 1)
    while clock.now - started_at < timedelta(minutes=30):
        cost = costs[n % len(costs)]
        answer = await reserve(f"lease{n}", cost)
        if isinstance(answer, Refused):
            await clock.advance(answer.retry_after_ms / 1000)
        else:
            admitted_tokens += cost
            n += 1
    # No more than the rate and what may lie ahead of it; no less than the rate,
    # but for the pauses in which a large request waits for the bucket to rest.
    assert 30 * 1000 - 1000 <= admitted_tokens <= 30 * 1000 + 1000


async def test_a_clock_that_was_ahead_does_not_lock_a_project_out(
    create_project: CreateProject, reserve: Reserve, clock: Clock
) -> None:
    await create_project(requests_per_minute=4)
    await clock.advance(24 * 60 * 60)
    await reserve("a")
    await clock.advance(-24 * 60 * 60)
    quota, retry_after_ms, _ = refusal(await reserve("b"))
    assert (quota, retry_after_ms) == ("requests_per_minute", 60 * 60_000)


async def test_how_the_buckets_stand_can_be_asked_without_a_request(
    create_project: CreateProject, reserve: Reserve, ledger: RedisLedger
) -> None:
    await create_project(requests_per_minute=60, tokens_per_minute=6_000)
    admitted = await reserve("a", 100, 200)
    assert isinstance(admitted, Reservation)

    assert await ledger.rate_limits(PROJECT) == admitted.rate_limits
    assert await ledger.rate_limits(PROJECT) == admitted.rate_limits
    assert await ledger.rate_limits("prj_of_nobody") == RateLimitState(None, None)
