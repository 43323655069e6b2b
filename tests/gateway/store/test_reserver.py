"""A reserve whose answer nobody heard leaves nothing behind."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from gateway.quota.reservation import Reservation
from gateway.store.errors import StoreUnavailable
from gateway.store.leased_projects import LeasedProjects
from gateway.store.ledger import RedisLedger
from gateway.store.reserver import Reserver
from tests.gateway.store.conftest import KID, PROJECT, CreateProject, Reserve, until

ASKED: Any = {
    "lease_id": "a",
    "project_id": PROJECT,
    "config_version": 1,
    "kid": KID,
    "model": "gpt-oss-120b",
    "input_tokens": 100,
    "output_tokens": 200,
    "max_output_tokens": 200,
    "clampable": False,
}


class Deaf:
    """A ledger whose answers are lost: *before* or after the command was run."""

    def __init__(self, ledger: RedisLedger, *, before: bool = False) -> None:
        self._ledger = ledger
        self._before = before
        self.away = True

    async def reserve(self, **asked: Any) -> Any:
        if not self._before:
            await self._ledger.reserve(**asked)
        raise StoreUnavailable("no answer")

    async def release(self, *, project_id: str, lease_id: str, kid: str) -> None:
        if self.away:
            raise StoreUnavailable("away")
        await self._ledger.release(project_id=project_id, lease_id=lease_id, kid=kid)

    async def rate_limits_if_current(self, project_id: str, **asked: Any) -> Any:
        raise StoreUnavailable("away")


async def leases(redis: Redis) -> int:
    ends = await redis.zcard(f"gw:{{{PROJECT}}}:lz")
    assert ends == await redis.hlen(f"gw:{{{PROJECT}}}:ld")
    return int(ends)


async def test_a_lease_that_was_taken_unheard_is_given_back_with_its_tokens(
    create_project: CreateProject,
    reserve: Reserve,
    ledger: RedisLedger,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.store.reserver.BACKOFF_S", 0.01)
    await create_project(tokens_per_minute=6_000)
    before = (await ledger.rate_limits(PROJECT)).tokens
    deaf = Deaf(ledger)
    reserver = Reserver(deaf, LeasedProjects(redis))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reserver.run)
        with pytest.raises(StoreUnavailable):
            await reserver.reserve(**ASKED)
        assert await leases(redis) == 1
        deaf.away = False
        await until(lambda: reserver.waiting == 0)
        tasks.cancel_scope.cancel()

    assert await leases(redis) == 0
    assert (await ledger.rate_limits(PROJECT)).tokens == before


async def test_a_reserve_that_redis_runs_late_takes_nothing(
    create_project: CreateProject, ledger: RedisLedger, redis: Redis
) -> None:
    await create_project(tokens_per_minute=6_000)
    await ledger.release(project_id=PROJECT, lease_id="a", kid=KID)
    with pytest.raises(StoreUnavailable):
        await ledger.reserve(**ASKED)

    assert await leases(redis) == 0
    assert isinstance(await ledger.reserve(**{**ASKED, "lease_id": "b"}), Reservation)


async def test_what_waits_to_be_released_is_bounded(
    ledger: RedisLedger, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.reserver.MAX_WAITING", 3)
    reserver = Reserver(Deaf(ledger, before=True), LeasedProjects(redis))
    for number in range(10):
        with pytest.raises(StoreUnavailable):
            await reserver.reserve(**{**ASKED, "lease_id": str(number)})
    assert reserver.waiting == 3


async def test_what_a_caller_was_authenticated_under_holds_until_another_is_heard_of(
    create_project: CreateProject, ledger: RedisLedger, redis: Redis
) -> None:
    await create_project(tokens_per_minute=6_000)
    version = int(ASKED["config_version"])
    reserver = Reserver(ledger, LeasedProjects(redis))
    assert await reserver.is_current(PROJECT, kid=KID, config_version=version)
    assert not await reserver.is_current(PROJECT, kid=KID, config_version=version - 1)
    deaf = Reserver(Deaf(ledger), LeasedProjects(redis))
    assert await deaf.is_current(PROJECT, kid=KID, config_version=version - 1)
