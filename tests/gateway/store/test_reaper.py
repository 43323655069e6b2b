"""Whatever a gateway leaves behind is found, and settled once, by whoever is left."""

from __future__ import annotations

import anyio
from redis.asyncio import Redis

from gateway.quota.reservation import Reservation
from gateway.quota.usage import LeaseProgress, Usage
from gateway.store import keys
from gateway.store.leased_projects import PARTS, LeasedProjects, part_of
from gateway.store.ledger import RedisLedger
from gateway.store.reaper import Reaper
from gateway.store.reserver import Reserver
from gateway.store.usage import UsageReader
from tests.gateway.store.conftest import KID, PROJECT, Clock, CreateProject, until

USED = Usage(100, 0, 40, 0)


async def leave_leases(reserver: Reserver, ledger: RedisLedger, count: int) -> None:
    for n in range(count):
        answer = await reserver.reserve(
            lease_id=f"lease{n}",
            project_id=PROJECT,
            config_version=1,
            kid=KID,
            model="m",
            input_tokens=100,
            output_tokens=40,
            max_output_tokens=40,
            clampable=False,
        )
        assert isinstance(answer, Reservation)
        await ledger.renew(PROJECT, [LeaseProgress(f"lease{n}", KID, USED)])


async def test_leases_of_a_gateway_that_is_gone_are_settled_once_by_many_reapers(
    create_project: CreateProject, ledger: RedisLedger, redis: Redis, clock: Clock
) -> None:
    await create_project()
    projects = LeasedProjects(redis)
    await leave_leases(Reserver(ledger, projects), ledger, 150)
    await clock.advance(130)
    reaped: list[int] = []
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            reaper = Reaper(
                ledger, LeasedProjects(redis), interval_s=0.05, on_reaped=lambda: reaped.append(1)
            )
            tasks.start_soon(reaper.run)
        await until(lambda: len(reaped) == 150)
        tasks.cancel_scope.cancel()
    entries = await UsageReader(redis).ledger_page(PROJECT, count=1000)
    assert [(entry.verdict, entry.usage) for entry in entries] == [("orphan", USED)] * 150
    assert await redis.exists(keys.lease_ends(PROJECT), keys.leases(PROJECT)) == 0


async def test_one_gateway_looks_through_a_part_at_a_time(redis: Redis) -> None:
    first, second = LeasedProjects(redis), LeasedProjects(redis)
    assert [await each.claim(3, period_ms=60_000) for each in (first, second)] == [True, False]
    assert await second.claim(4, period_ms=60_000)


async def test_a_project_is_written_down_once_a_minute(redis: Redis) -> None:
    now = [1000.0]
    projects = LeasedProjects(redis, unix_time=lambda: now[0], monotonic=lambda: now[0])
    key = keys.leased(part_of(PROJECT))
    scores = []
    for second in (0, 30, 61):
        now[0] = 1000.0 + second
        await projects.add(PROJECT)
        scores.append(await redis.zscore(key, PROJECT))
    assert scores == [1000, 1000, 1061]
    assert await projects.of(part_of(PROJECT)) == [PROJECT]


async def test_a_quiet_project_is_forgotten_but_not_one_that_has_come_back(redis: Redis) -> None:
    now = [10_000.0]
    projects = LeasedProjects(redis, unix_time=lambda: now[0], monotonic=lambda: now[0])
    await projects.add("prj_quiet")
    now[0] += 3000
    await projects.add("prj_busy0")
    now[0] += 700
    for each in ("prj_quiet", "prj_busy0"):
        await projects.forget_if_quiet(each)
    left = [name for part in range(PARTS) for name in await projects.of(part)]
    assert left == ["prj_busy0"]


async def test_a_reaper_survives_a_store_that_is_away(
    create_project: CreateProject, ledger: RedisLedger, redis: Redis, clock: Clock
) -> None:
    await create_project()
    projects = LeasedProjects(redis)
    await leave_leases(Reserver(ledger, projects), ledger, 1)
    await clock.advance(130)
    reaped: list[int] = []
    reaper = Reaper(ledger, projects, interval_s=0.05, on_reaped=lambda: reaped.append(1))
    async with anyio.create_task_group() as tasks:
        await redis.client_pause(300)
        tasks.start_soon(reaper.run)
        await until(lambda: len(reaped) == 1)
        tasks.cancel_scope.cancel()
