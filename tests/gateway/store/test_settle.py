"""settle.lua on a real Redis: every response is charged once, exactly, on its day."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime

import anyio
import pytest
from redis.asyncio import Redis

from gateway.quota.reservation import RateLimit, Refused, Reservation
from gateway.quota.usage import Usage
from gateway.store.ledger import RedisLedger, Verdict
from gateway.store.usage import DailyUsage, LedgerEntry, UsageReader
from tests.gateway.store.conftest import KID, MODEL, PROJECT, Clock, CreateProject, Reserve

USAGE = Usage(input_tokens=100, cached_tokens=64, output_tokens=40, reasoning_tokens=30)
NOTHING = Usage(0, 0, 0, 0)
TODAY = date(2026, 11, 22)


async def admit(reserve: Reserve, lease_id: str, tokens: int = 100, output: int = 0) -> Reservation:
    reservation = await reserve(lease_id, tokens, output)
    assert isinstance(reservation, Reservation)
    return reservation


async def settle(ledger: RedisLedger, reservation: Reservation, usage: Usage = USAGE) -> Verdict:
    return await ledger.settle(reservation, usage, status="completed")


async def backlog_ms(reserve: Reserve) -> int:
    """How far the token bucket is from rest. Asked by a request that can never be admitted."""
    refused = await reserve("probe", 10**9)
    assert isinstance(refused, Refused)
    assert refused.rate_limits.tokens is not None
    return refused.rate_limits.tokens.reset_ms


async def test_a_response_is_charged_what_it_used(
    create_project: CreateProject, reserve: Reserve, ledger: RedisLedger, redis: Redis, clock: Clock
) -> None:
    await create_project()
    reservation = await admit(reserve, "a")
    assert await settle(ledger, reservation) == "settled"
    reader = UsageReader(redis)
    assert await reader.daily(PROJECT, TODAY, TODAY) == [
        DailyUsage(TODAY, "gpt-oss-120b", KID, requests=1, usage=USAGE)
    ]
    (entry,) = await reader.ledger_page(PROJECT)
    assert dataclasses.replace(entry, entry_id="") == LedgerEntry(
        entry_id="",
        response_id="a",
        kid=KID,
        model="gpt-oss-120b",
        status="completed",
        verdict="settled",
        requests=1,
        usage=USAGE,
        day=TODAY,
        admitted_at_ms=int(clock.now.timestamp() * 1000),
    )


async def test_a_response_settled_many_times_at_once_is_charged_once(
    create_project: CreateProject, reserve: Reserve, ledger: RedisLedger, redis: Redis
) -> None:
    await create_project(tokens_per_minute=1000)
    reservation = await admit(reserve, "a")
    verdicts: list[Verdict] = []

    async def one() -> None:
        verdicts.append(await settle(ledger, reservation))

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(one)
    assert sorted(verdicts) == ["duplicate"] * 9 + ["settled"]
    (daily,) = await UsageReader(redis).daily(PROJECT, TODAY, TODAY)
    assert (daily.requests, daily.usage) == (1, USAGE)
    assert await backlog_ms(reserve) == 140 * 60


@pytest.mark.parametrize(
    ("reserved", "used", "left_ms"), [(200, 140, 140 * 60), (100, 140, 140 * 60), (140, 140, 8400)]
)
async def test_the_bucket_ends_up_with_what_was_used_not_with_what_was_reserved(
    create_project: CreateProject,
    reserve: Reserve,
    ledger: RedisLedger,
    reserved: int,
    used: int,
    left_ms: int,
) -> None:
    await create_project(tokens_per_minute=1000)
    await settle(ledger, await admit(reserve, "a", 50, reserved - 50))
    assert sum((USAGE.input_tokens, USAGE.output_tokens)) == used
    assert await backlog_ms(reserve) == left_ms


async def test_a_refund_never_gives_credit(
    create_project: CreateProject, reserve: Reserve, ledger: RedisLedger, clock: Clock
) -> None:
    await create_project(tokens_per_minute=1000)
    reservation = await admit(reserve, "a", 1000)
    await clock.advance(60)
    await settle(ledger, reservation, NOTHING)
    at_rest = await reserve("b", 250)
    assert isinstance(at_rest, Reservation)
    assert at_rest.rate_limits.tokens == RateLimit(1000, remaining=0, reset_ms=15_000)


async def test_settling_frees_the_concurrency_and_leaves_no_lease(
    create_project: CreateProject, reserve: Reserve, ledger: RedisLedger, redis: Redis
) -> None:
    await create_project(concurrent_requests=1)
    reservation = await admit(reserve, "a")
    assert isinstance(await reserve("b"), Refused)
    await settle(ledger, reservation)
    assert await redis.exists(f"gw:{{{PROJECT}}}:lz", f"gw:{{{PROJECT}}}:ld") == 0
    await admit(reserve, "b")


async def test_the_charge_stands_when_the_store_has_forgotten_the_lease(
    create_project: CreateProject,
    reserve: Reserve,
    ledger: RedisLedger,
    redis: Redis,
    clock: Clock,
) -> None:
    await create_project(tokens_per_minute=1000)
    reservation = await admit(reserve, "a", 100, 400)
    await redis.delete(f"gw:{{{PROJECT}}}:lz", f"gw:{{{PROJECT}}}:ld")
    await clock.advance(60)
    await admit(reserve, "b", 250)
    assert await settle(ledger, reservation) == "lost"
    assert await settle(ledger, reservation) == "duplicate"
    (daily,) = await UsageReader(redis).daily(PROJECT, TODAY, TODAY)
    assert (daily.requests, daily.usage) == (1, USAGE)
    (entry,) = await UsageReader(redis).ledger_page(PROJECT)
    assert entry.verdict == "lost"
    # What b has reserved is not touched by a refund that nobody can tell to be due.
    assert await backlog_ms(reserve) == 15_000


async def test_a_response_belongs_to_the_day_it_was_admitted_on(
    create_project: CreateProject,
    reserve: Reserve,
    ledger: RedisLedger,
    redis: Redis,
    clock: Clock,
) -> None:
    await create_project()
    await clock.set(datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC))
    reservation = await admit(reserve, "a")
    await clock.set(datetime(2026, 12, 1, 1, 30, tzinfo=UTC))
    await settle(ledger, reservation)
    assert await settle(ledger, reservation) == "duplicate"
    counted = await UsageReader(redis).daily(PROJECT, date(2026, 11, 1), date(2026, 12, 31))
    assert [daily.day for daily in counted] == [date(2026, 11, 30)]


async def test_counters_are_sums_by_model_and_key(
    create_project: CreateProject, reserve: Reserve, ledger: RedisLedger, redis: Redis
) -> None:
    await create_project()
    for n in range(3):
        await settle(ledger, await admit(reserve, f"lease{n}"))
    other = dataclasses.replace(await admit(reserve, "other"), model="gpt-oss-20b")
    await ledger.settle(other, NOTHING, status="failed")
    assert await UsageReader(redis).daily(PROJECT, TODAY, TODAY) == [
        DailyUsage(TODAY, "gpt-oss-120b", KID, 3, Usage(300, 192, 120, 90)),
        DailyUsage(TODAY, "gpt-oss-20b", KID, 1, NOTHING),
    ]


async def test_the_ledger_is_read_page_by_page(
    create_project: CreateProject, reserve: Reserve, ledger: RedisLedger, redis: Redis
) -> None:
    await create_project()
    for n in range(5):
        await settle(ledger, await admit(reserve, f"lease{n}"))
    reader, read, after = UsageReader(redis), [], "0-0"
    while page := await reader.ledger_page(PROJECT, after=after, count=2):
        read.append([entry.response_id for entry in page])
        after = page[-1].entry_id
    assert read == [["lease0", "lease1"], ["lease2", "lease3"], ["lease4"]]
    end = await reader.ledger_end(PROJECT, count=2)
    assert [entry.response_id for entry in end] == ["lease3", "lease4"]


async def test_scripts_are_sent_again_after_redis_has_forgotten_them(
    create_project: CreateProject, reserve: Reserve, ledger: RedisLedger, redis: Redis
) -> None:
    await create_project()
    await redis.script_flush()
    reservation = await admit(reserve, "a")
    await redis.script_flush()
    assert await settle(ledger, reservation) == "settled"


async def test_an_observer_is_told_of_every_round_trip(
    create_project: CreateProject, redis: Redis
) -> None:
    await create_project(concurrent_requests=1)
    told: list[tuple[str, str]] = []
    ledger = RedisLedger(
        redis,
        lease_ms=120_000,
        observe=lambda operation, result, _: told.append((operation, result)),
    )
    answers = [
        await ledger.reserve(
            lease_id=lease_id,
            project_id=PROJECT,
            config_version=1,
            kid=KID,
            model=MODEL,
            input_tokens=1,
            output_tokens=1,
            max_output_tokens=1,
            clampable=False,
        )
        for lease_id in ("a", "b")
    ]
    assert isinstance(answers[0], Reservation)
    await settle(ledger, answers[0])
    assert told == [("reserve", "admitted"), ("reserve", "refused"), ("settle", "settled")]
