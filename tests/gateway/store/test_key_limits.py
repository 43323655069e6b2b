"""A key may have limits of its own, within those of its project."""

from __future__ import annotations

from redis.asyncio import Redis

from gateway.quota.limits import Limits, limits_text
from gateway.quota.reservation import RateLimit, Refused, Reservation
from gateway.quota.usage import LeaseProgress, Usage
from gateway.store import keys
from gateway.store.ledger import RedisLedger
from tests.gateway.store.conftest import PROJECT, Clock, CreateProject, Reserve

LIMITED, OTHER = "kidlimited000000", "kidother00000000"


async def limit(redis: Redis, limits: Limits) -> None:
    await redis.hset(keys.config(PROJECT), f"k:{LIMITED}", limits_text(limits))


def refusal(answer: object) -> tuple[str, str]:
    assert isinstance(answer, Refused)
    return answer.quota, answer.scope


async def test_a_request_needs_room_under_both(
    create_project: CreateProject, reserve: Reserve, redis: Redis
) -> None:
    await create_project(requests_per_minute=12)
    await limit(redis, Limits(requests_per_minute=8))
    answers = [await reserve(f"a{n}", kid=LIMITED) for n in range(3)]
    assert isinstance(answers[0], Reservation)
    # The headers show the tighter one.
    assert answers[0].rate_limits.requests == RateLimit(8, 1, 7500)
    assert refusal(answers[2]) == ("requests_per_minute", "key")
    # The other key has what is left of the project: three in 15 s.
    assert isinstance(await reserve("b", kid=OTHER), Reservation)
    assert refusal(await reserve("c", kid=OTHER)) == ("requests_per_minute", "project")


async def test_the_budget_of_a_key_is_its_own(
    create_project: CreateProject, reserve: Reserve, ledger: RedisLedger, redis: Redis
) -> None:
    await create_project()
    await limit(redis, Limits(daily_tokens=100))
    first = await reserve("a", 60, kid=LIMITED)
    assert isinstance(first, Reservation)
    await ledger.settle(first, Usage(60, 0, 0, 0), status="completed")
    assert refusal(await reserve("b", 60, kid=LIMITED)) == ("daily_tokens", "key")
    assert isinstance(await reserve("b", 60, kid=OTHER), Reservation)
    assert isinstance(await reserve("c", 40, kid=LIMITED), Reservation)


async def test_the_concurrency_of_a_key_counts_its_own_leases_as_long_as_they_are_renewed(
    create_project: CreateProject,
    reserve: Reserve,
    ledger: RedisLedger,
    redis: Redis,
    clock: Clock,
) -> None:
    await create_project()
    await limit(redis, Limits(concurrent_requests=2))
    await reserve("other", kid=OTHER)
    first, second = [await reserve(lease_id, kid=LIMITED) for lease_id in ("a", "b")]
    assert refusal(await reserve("c", kid=LIMITED)) == ("concurrent_requests", "key")
    await clock.advance(100)
    progress = LeaseProgress("a", LIMITED, Usage(1, 0, 1, 0))
    assert await ledger.renew(PROJECT, [progress]) == frozenset()
    await clock.advance(100)
    # b has ended, a has not.
    assert isinstance(await reserve("c", kid=LIMITED), Reservation)
    assert refusal(await reserve("d", kid=LIMITED)) == ("concurrent_requests", "key")
    assert isinstance(first, Reservation)
    await ledger.settle(first, Usage(1, 0, 1, 0), status="completed")
    assert isinstance(await reserve("d", kid=LIMITED), Reservation)
    assert await redis.zcard(keys.key_lease_ends(PROJECT, LIMITED)) == 3
    assert isinstance(second, Reservation)
    assert [reaped.lease_id for reaped in await ledger.reap(PROJECT)] == ["b", "other"]
    assert await redis.zcard(keys.key_lease_ends(PROJECT, LIMITED)) == 2
