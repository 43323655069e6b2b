"""Leases are renewed, and reaped when nobody does: charged what was told, then the difference."""

from __future__ import annotations

from typing import cast

import anyio
from redis.asyncio import Redis

from gateway.quota.reservation import Refused, Reservation
from gateway.quota.usage import LeaseProgress, Usage
from gateway.store import keys
from gateway.store.ledger import Reaped, RedisLedger
from gateway.store.scope_state import read_scope_state
from gateway.store.usage import UsageReader
from tests.gateway.store.conftest import KID, PROJECT, Clock, CreateProject, Reserve

SO_FAR = Usage(100, 32, 40, 10)
IN_THE_END = Usage(100, 32, 70, 25)


async def admit(reserve: Reserve, lease_id: str, **more: int) -> Reservation:
    reservation = await reserve(lease_id, 100, 200, most=1000, **more)
    assert isinstance(reservation, Reservation)
    return reservation


def progress(lease_id: str, usage: Usage = SO_FAR) -> LeaseProgress:
    return LeaseProgress(lease_id, KID, usage)


async def charges(redis: Redis) -> list[tuple[str, int, Usage]]:
    entries = await UsageReader(redis).ledger_page(PROJECT)
    return [(entry.verdict, entry.requests, entry.usage) for entry in entries]


async def budget(redis: Redis) -> tuple[int, int]:
    state = read_scope_state(cast("bytes", await redis.hget(keys.quota_state(PROJECT), "p")))
    assert (state.day_used, state.day_reserved) == (state.month_used, state.month_reserved)
    return state.day_used, state.day_reserved


async def test_a_lease_lasts_as_long_as_it_is_renewed(
    create_project: CreateProject, reserve: Reserve, ledger: RedisLedger, clock: Clock
) -> None:
    await create_project(concurrent_requests=1)
    await admit(reserve, "a")
    for _ in range(10):
        await clock.advance(100)
        assert await ledger.renew(PROJECT, [progress("a")]) == frozenset()
        assert await ledger.reap(PROJECT) == []
        assert isinstance(await reserve("b"), Refused)


async def test_leases_the_store_does_not_know_are_told(
    create_project: CreateProject, reserve: Reserve, ledger: RedisLedger
) -> None:
    await create_project()
    await admit(reserve, "a")
    told = [progress(lease_id) for lease_id in ("gone", "a", "never")]
    assert await ledger.renew(PROJECT, told) == {"gone", "never"}


async def test_more_leases_than_one_call_takes_are_renewed(
    create_project: CreateProject, ledger: RedisLedger
) -> None:
    await create_project()
    ids = [f"lease{n}" for n in range(1201)]
    assert await ledger.renew(PROJECT, [progress(each) for each in ids]) == set(ids)


async def test_a_lease_that_is_not_renewed_is_charged_what_was_told_last(
    create_project: CreateProject,
    reserve: Reserve,
    ledger: RedisLedger,
    redis: Redis,
    clock: Clock,
) -> None:
    await create_project(tokens_per_minute=600_000)
    await admit(reserve, "a")
    await ledger.renew(PROJECT, [progress("a")])
    await clock.advance(121)
    assert await ledger.reap(PROJECT, grace_ms=2000) == []
    assert await ledger.reap(PROJECT) == [Reaped("a", KID, SO_FAR)]
    assert await ledger.reap(PROJECT) == []
    assert await charges(redis) == [("orphan", 1, SO_FAR)]
    assert await budget(redis) == (140, 0)
    assert await redis.exists(keys.leases(PROJECT), keys.lease_ends(PROJECT)) == 0


async def test_a_lease_that_never_produced_a_token_is_free(
    create_project: CreateProject,
    reserve: Reserve,
    ledger: RedisLedger,
    redis: Redis,
    clock: Clock,
) -> None:
    await create_project()
    await admit(reserve, "a")
    await clock.advance(121)
    assert await ledger.reap(PROJECT) == [Reaped("a", KID, Usage(0, 0, 0, 0))]
    assert await charges(redis) == [("orphan", 0, Usage(0, 0, 0, 0))]
    assert await budget(redis) == (0, 0)


async def test_an_owner_that_comes_back_pays_the_difference_once(
    create_project: CreateProject,
    reserve: Reserve,
    ledger: RedisLedger,
    redis: Redis,
    clock: Clock,
) -> None:
    await create_project()
    reservation = await admit(reserve, "a")
    await ledger.renew(PROJECT, [progress("a")])
    await clock.advance(121)
    await ledger.reap(PROJECT)
    # It has slept, and says that it is alive: too late.
    assert await ledger.renew(PROJECT, [progress("a", IN_THE_END)]) == {"a"}
    assert await ledger.settle(reservation, IN_THE_END, status="completed") == "adjusted"
    assert await ledger.settle(reservation, IN_THE_END, status="completed") == "duplicate"
    assert await charges(redis) == [
        ("orphan", 1, SO_FAR),
        ("adjusted", 0, Usage(0, 0, 30, 15)),
    ]
    (daily,) = await UsageReader(redis).daily(PROJECT, clock.now.date(), clock.now.date())
    assert (daily.requests, daily.usage) == (1, IN_THE_END)
    assert await budget(redis) == (170, 0)


async def test_a_free_lease_whose_owner_comes_back_is_charged_whole(
    create_project: CreateProject,
    reserve: Reserve,
    ledger: RedisLedger,
    redis: Redis,
    clock: Clock,
) -> None:
    await create_project()
    reservation = await admit(reserve, "a")
    await clock.advance(121)
    await ledger.reap(PROJECT)
    assert await ledger.settle(reservation, IN_THE_END, status="completed") == "adjusted"
    (daily,) = await UsageReader(redis).daily(PROJECT, clock.now.date(), clock.now.date())
    assert (daily.requests, daily.usage) == (1, IN_THE_END)


async def test_nobody_makes_a_lease_again_that_was_reaped(
    create_project: CreateProject, ledger: RedisLedger, reserve: Reserve, clock: Clock, redis: Redis
) -> None:
    await create_project()
    await admit(reserve, "a")
    await clock.advance(121)
    await ledger.reap(PROJECT)
    reply = await ledger._call(
        "reserve",
        [
            *(keys.config(PROJECT), keys.quota_state(PROJECT), keys.lease_ends(PROJECT)),
            *(keys.leases(PROJECT), keys.ended_lease(PROJECT, "a")),
            keys.key_lease_ends(PROJECT, KID),
        ],
        ["a", 1, KID, "m", 100, 200, 1000, 0, 120_000, "default", 0],
    )
    assert reply == ["released"]


async def test_many_reapers_at_once_charge_once(
    create_project: CreateProject,
    reserve: Reserve,
    ledger: RedisLedger,
    redis: Redis,
    clock: Clock,
) -> None:
    await create_project()
    for n in range(30):
        await admit(reserve, f"lease{n}")
        await ledger.renew(PROJECT, [progress(f"lease{n}")])
    await clock.advance(121)
    reaped: list[Reaped] = []

    async def reap() -> None:
        reaped.extend(await ledger.reap(PROJECT, limit=25))

    for _ in range(2):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(reap)
    assert sorted(each.lease_id for each in reaped) == sorted(f"lease{n}" for n in range(30))
    assert await charges(redis) == [("orphan", 1, SO_FAR)] * 30
    assert await budget(redis) == (140 * 30, 0)


async def test_a_response_that_outgrows_its_reservation_takes_more_of_the_rates(
    create_project: CreateProject,
    reserve: Reserve,
    ledger: RedisLedger,
) -> None:
    await create_project(output_tokens_per_minute=6000)
    reservation = await admit(reserve, "a")

    async def backlog_ms() -> int:
        state = (await ledger.rate_limits(PROJECT)).tokens
        assert state is not None
        return state.reset_ms

    assert await backlog_ms() == 2000  # 200 tokens at 100 a second
    await ledger.renew(PROJECT, [progress("a", Usage(100, 0, 200, 0))])
    assert await backlog_ms() == 2000
    await ledger.renew(PROJECT, [progress("a", Usage(100, 0, 201, 0))])
    assert await backlog_ms() == 2000 + 10_240
    await ledger.renew(PROJECT, [progress("a", Usage(100, 0, 1500, 0))])
    assert await backlog_ms() == 2000 + 20_480
    await ledger.settle(reservation, Usage(100, 0, 1500, 0), status="completed")
    assert await backlog_ms() == 15_000
