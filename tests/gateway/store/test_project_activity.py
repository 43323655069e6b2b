"""What an observer of all projects is told: everything once, and how full their quotas are."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from gateway.quota.reservation import Refused, Reservation
from gateway.quota.usage import Usage
from gateway.store import keys
from gateway.store.errors import StoreUnavailable
from gateway.store.leased_projects import LeasedProjects, part_of
from gateway.store.ledger import RedisLedger
from gateway.store.project_activity import DAY_S, ProjectActivity, totals
from gateway.store.refusals import RefusalCounts
from tests.gateway.store.conftest import PROJECT, Clock, CreateProject, Reserve


@pytest.fixture
async def active(redis: Redis, create_project: CreateProject) -> None:
    await create_project(
        tokens_per_minute=6_000, concurrent_requests=4, daily_tokens=1_000, monthly_tokens=10_000
    )
    await LeasedProjects(redis).add(PROJECT)


async def observer(redis: Redis) -> ProjectActivity:
    """Who watches from now on."""
    activity = ProjectActivity(redis)
    await activity.begin()
    return activity


async def settle(ledger: RedisLedger, reservation: object, output_tokens: int) -> None:
    assert isinstance(reservation, Reservation)
    await ledger.settle(reservation, Usage(10, 4, output_tokens, 2), status="completed")


async def test_everything_is_told_once(
    active: None, redis: Redis, ledger: RedisLedger, reserve: Reserve
) -> None:
    await settle(ledger, await reserve("before", 10, 5), 5)
    activity = await observer(redis)
    assert await activity.look() == {}

    for name in ("a", "b"):
        await settle(ledger, await reserve(name, 10, 5), 7)
    told = await activity.look()
    requests, tokens = totals(told[PROJECT].entries)
    assert requests == {"completed": 2}
    assert tokens == {"input": 20, "cached": 8, "output": 14, "reasoning": 4}
    assert await activity.look() == {}


async def test_more_than_a_trip_is_told_whole(
    active: None,
    redis: Redis,
    ledger: RedisLedger,
    reserve: Reserve,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.store.project_activity.ENTRIES_A_TRIP", 2)
    activity = await observer(redis)
    for number in range(5):
        await settle(ledger, await reserve(str(number), 1, 1), 1)
    assert len((await activity.look())[PROJECT].entries) == 5


async def test_an_entry_that_cannot_be_read_hides_no_other(
    active: None,
    redis: Redis,
    ledger: RedisLedger,
    reserve: Reserve,
    caplog: pytest.LogCaptureFixture,
) -> None:
    activity = await observer(redis)
    await settle(ledger, await reserve("a", 10, 5), 7)
    await redis.xadd(keys.ledger(PROJECT), {"e": "a,b"})
    await redis.xadd(keys.ledger(PROJECT), {"f": ""})
    await settle(ledger, await reserve("b", 10, 5), 7)
    requests, _ = totals((await activity.look())[PROJECT].entries)
    assert requests == {"completed": 2}
    assert caplog.text.count(f"of the ledger of {PROJECT} cannot be read") == 2

    await redis.xadd(keys.ledger(PROJECT), {"e": "the last"})
    await activity.look()
    assert await activity.look() == {}, "it is said once"


async def test_refusals_are_told_as_they_come(active: None, redis: Redis) -> None:
    counts = RefusalCounts(redis)
    counts.note(PROJECT, "tokens_per_minute")
    await counts.write()
    activity = await observer(redis)
    assert await activity.look() == {}  # from before: unknown how old

    for _ in range(3):
        counts.note(PROJECT, "tokens_per_minute")
    counts.note(PROJECT, "concurrent_requests")
    await counts.write()
    told = await activity.look()
    assert told[PROJECT].refusals == {"tokens_per_minute": 3, "concurrent_requests": 1}

    await redis.delete(f"gw:{{{PROJECT}}}:rf")  # two quiet days
    counts.note(PROJECT, "tokens_per_minute")
    await counts.write()
    assert (await activity.look())[PROJECT].refusals == {"tokens_per_minute": 1}


async def test_the_first_refusals_of_a_new_project_are_told(
    redis: Redis, create_project: CreateProject
) -> None:
    activity = await observer(redis)
    assert await activity.look() == {}
    await create_project(requests_per_minute=1)
    await LeasedProjects(redis).add(PROJECT)
    counts = RefusalCounts(redis)
    counts.note(PROJECT, "requests_per_minute")
    await counts.write()
    assert (await activity.look())[PROJECT].refusals == {"requests_per_minute": 1}


async def test_what_was_used_before_it_began_is_known(
    active: None, redis: Redis, ledger: RedisLedger, reserve: Reserve, clock: Clock
) -> None:
    """For names to be given by; the project may be quiet since."""
    await settle(ledger, await reserve("a", 10, 5), 7)
    activity = ProjectActivity(redis, unix_time=clock.now.timestamp)
    assert await activity.begin() == {PROJECT: 17}

    next_month = ProjectActivity(redis, unix_time=lambda: clock.now.timestamp() + 31 * DAY_S)
    assert await next_month.begin() == {}


async def test_a_look_that_fails_has_seen_nothing(
    active: None,
    redis: Redis,
    ledger: RedisLedger,
    reserve: Reserve,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    activity = await observer(redis)
    await settle(ledger, await reserve("a", 10, 5), 7)

    async def away(project_ids: object) -> object:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch, pytest.raises(StoreUnavailable):
        patch.setattr(activity, "_new_refusals", away)
        await activity.look()
    assert len((await activity.look())[PROJECT].entries) == 1


async def test_quotas_are_told_as_how_near_a_refusal_is(
    active: None, redis: Redis, clock: Clock, ledger: RedisLedger, reserve: Reserve
) -> None:
    now = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
    activity = ProjectActivity(redis, unix_time=lambda: now)
    assert set((await activity.fullness([PROJECT]))[PROJECT].ratios.values()) == {0}

    reservation = await reserve("a", 500, 250)  # half of what a burst may be
    assert isinstance(reservation, Reservation)
    (told,) = (await activity.fullness([PROJECT, "prj_unknown"])).values()
    assert told.ratios == {
        "tokens_per_minute": pytest.approx(0.5, abs=0.001),
        "concurrent_requests": 0.25,
        # What is being generated may be far less than was asked for.
        "daily_tokens": 0,
        "monthly_tokens": 0,
    }
    assert isinstance(await reserve("b", 900, 0), Refused)

    await settle(ledger, reservation, 240)
    (told,) = (await activity.fullness([PROJECT])).values()
    assert told.ratios["daily_tokens"] == 0.25
    assert told.ratios["monthly_tokens"] == 0.025


async def test_a_project_that_was_quiet_is_told_once_when_it_comes_back(
    active: None, redis: Redis, ledger: RedisLedger, reserve: Reserve
) -> None:
    counts, activity = RefusalCounts(redis), await observer(redis)
    assert await activity.look() == {}
    await settle(ledger, await reserve("a", 10, 5), 7)
    counts.note(PROJECT, "tokens_per_minute")
    await counts.write()
    told = (await activity.look())[PROJECT]
    assert (len(told.entries), told.refusals) == (1, {"tokens_per_minute": 1})

    # A quiet hour: reapers need not look there any more.
    await redis.delete(keys.leased(part_of(PROJECT)))
    assert await activity.look() == {}

    await LeasedProjects(redis).add(PROJECT)
    await settle(ledger, await reserve("b", 10, 5), 7)
    counts.note(PROJECT, "tokens_per_minute")
    await counts.write()
    told = (await activity.look())[PROJECT]
    assert (len(told.entries), told.refusals) == (1, {"tokens_per_minute": 1})
