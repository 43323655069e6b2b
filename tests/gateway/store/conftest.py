"""A project to test with, and a clock that stands still until it is told not to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from gateway.quota.limits import Limits
from gateway.quota.reservation import Refused, Reservation, Stale
from gateway.store import ledger as ledger_module
from gateway.store.administration import Administration
from gateway.store.connection import connect_for_scripts
from gateway.store.ledger import RedisLedger
from gateway.store.records import ProjectConfig
from tests.walk.clock import with_settable_clock

PROJECT = "prj_test"
KID = "kid0000000000000"
MODEL = "gpt-oss-120b"


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait for a condition; at most 20 s."""
    with anyio.fail_after(20):
        while True:
            met = condition()
            if met is True or (met is not False and await met):
                return
            await anyio.sleep(0.01)


class Clock:
    """The time scripts see. It stands still."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def set(self, now: datetime) -> None:
        self.now = now
        await self._redis.mset({"test:seconds": int(now.timestamp()), "test:us": now.microsecond})

    async def advance(self, seconds: float) -> None:
        await self.set(self.now + timedelta(seconds=seconds))


@pytest.fixture
async def clock(redis: Redis) -> Clock:
    clock = Clock(redis)
    await clock.set(datetime(2026, 11, 22, 12, tzinfo=UTC))
    return clock


@pytest.fixture
async def ledger(
    redis_port: int, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RedisLedger]:
    """A ledger by *clock*, over our own kind of connections. Leases are two minutes long."""
    monkeypatch.setattr(ledger_module, "read_script", with_settable_clock)
    # A test machine may be busy for longer than a tenant should wait.
    async with connect_for_scripts(f"redis://127.0.0.1:{redis_port}", timeout_s=10) as scripts:
        yield RedisLedger(scripts, lease_ms=120_000)


CreateProject = Callable[..., Coroutine[Any, Any, ProjectConfig]]
Reserve = Callable[..., Coroutine[Any, Any, Reservation | Refused | Stale]]


@pytest.fixture
def create_project(redis: Redis) -> CreateProject:
    """Creates the project PROJECT with the limits it is given."""

    async def create(
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        concurrent_requests: int | None = None,
        **more: Any,
    ) -> ProjectConfig:
        limits = Limits(requests_per_minute, tokens_per_minute, concurrent_requests, **more)
        project = await Administration(redis).create_project("test", limits, with_id=PROJECT)
        assert isinstance(project, ProjectConfig)
        return project

    return create


@pytest.fixture
def reserve(ledger: RedisLedger) -> Reserve:
    """Reserves for PROJECT: a lease id and what it costs. Without *most*, the output is at most
    what is reserved of it."""

    async def reserve(
        lease_id: str,
        input_tokens: int = 1,
        output_tokens: int = 0,
        version: int = 1,
        *,
        most: int | None = None,
        clampable: bool = False,
        kid: str = KID,
    ) -> Reservation | Refused | Stale:
        return await ledger.reserve(
            lease_id=lease_id,
            project_id=PROJECT,
            config_version=version,
            kid=kid,
            model=MODEL,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            max_output_tokens=output_tokens if most is None else most,
            clampable=clampable,
        )

    return reserve
