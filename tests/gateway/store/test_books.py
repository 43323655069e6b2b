"""An audit finds nothing where nothing is wrong, and everything that is."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from gateway.quota.reservation import Reservation
from gateway.quota.usage import LeaseProgress, Usage
from gateway.store import books as books_module
from gateway.store import keys
from gateway.store.books import Books, Difference, ProjectBooks
from gateway.store.ledger import RedisLedger
from tests.gateway.store.conftest import KID, MODEL, PROJECT, Clock, CreateProject, Reserve

OTHER_KID = "kid1111111111111"
USED = Usage(100, 32, 40, 10)


async def respond(
    reserve: Reserve, ledger: RedisLedger, lease_id: str, *, kid: str = KID
) -> Reservation:
    reservation = await reserve(lease_id, 100, 200, most=1000, kid=kid)
    assert isinstance(reservation, Reservation)
    await ledger.settle(reservation, USED, status="completed")
    return reservation


async def test_books_agree_over_days_keys_orphans_and_adjustments(
    create_project: CreateProject,
    reserve: Reserve,
    ledger: RedisLedger,
    redis: Redis,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(books_module, "PAGE", 2)
    await create_project(daily_tokens=10**6)
    await clock.set(datetime(2026, 11, 30, 23, tzinfo=UTC))
    await respond(reserve, ledger, "a")
    frozen = await reserve("frozen", 100, 200, most=1000)
    assert isinstance(frozen, Reservation)
    await ledger.renew(PROJECT, [LeaseProgress("frozen", KID, USED)])
    await clock.set(datetime(2026, 12, 1, 1, tzinfo=UTC))
    await respond(reserve, ledger, "b", kid=OTHER_KID)
    await respond(reserve, ledger, "c")
    await ledger.reap(PROJECT)
    await ledger.settle(frozen, Usage(100, 32, 70, 10), status="completed")

    assert await Books(redis).audit(PROJECT) == ProjectBooks(PROJECT, 5, 0, 0, ())


async def test_an_open_lease_is_told_and_is_no_difference(
    create_project: CreateProject, reserve: Reserve, redis: Redis
) -> None:
    await create_project()
    await reserve("a", 100, 200, most=1000)
    assert await Books(redis).audit(PROJECT) == ProjectBooks(PROJECT, 0, 1, 1100, ())


async def test_what_differs_is_named(
    create_project: CreateProject, reserve: Reserve, ledger: RedisLedger, redis: Redis
) -> None:
    await create_project()
    reservation = await respond(reserve, ledger, "a")
    await redis.hset(
        keys.usage(PROJECT, reservation.day),
        f"{MODEL}|{KID}",
        struct.pack(">5d", 1, 100, 32, 41, 10),
    )
    await redis.hdel(keys.quota_state(PROJECT), KID)
    found = await Books(redis).audit(PROJECT)
    assert found.differences == (
        Difference(PROJECT, f"output of day {reservation.day}, {MODEL}, {KID}", 40, 41),
    )
