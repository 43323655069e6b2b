"""Settlements arrive, whatever Redis does meanwhile, and are charged once."""

from __future__ import annotations

import re
import time
from datetime import date
from pathlib import Path

import anyio
import pytest

from gateway.quota.limits import Limits
from gateway.quota.reservation import RateLimitState, Reservation
from gateway.quota.usage import Usage
from gateway.store.administration import Administration
from gateway.store.connection import connect
from gateway.store.errors import StoreUnavailable
from gateway.store.ledger import RedisLedger, Verdict
from gateway.store.scripts import read_script
from gateway.store.settlements import MAX_AGE_S, Settler
from gateway.store.usage import EPOCH, UsageReader
from tests.gateway.store.conftest import KID, MODEL, PROJECT, until
from tests.stack.process import free_port
from tests.stack.redis import start_redis

USAGE = Usage(100, 64, 40, 30)
DAY = date(2026, 11, 22)


def reservation(response_id: str) -> Reservation:
    return Reservation(
        lease_id=response_id,
        project_id=PROJECT,
        kid=KID,
        model="m",
        input_tokens=100,
        output_tokens=0,
        max_output_tokens=0,
        admitted_at_ms=0,
        day=(DAY - EPOCH).days,
        month=202611,
        rate_limits=RateLimitState(None, None),
    )


class FlakyLedger:
    """Takes a settlement only when it may; remembers in which order it was asked."""

    def __init__(self) -> None:
        self.away = False
        self.frozen = False
        self.refuses: set[str] = set()
        self.asked: list[str] = []
        self.charged: list[str] = []

    async def settle(self, reservation: Reservation, usage: Usage, *, status: str) -> Verdict:
        self.asked.append(reservation.lease_id)
        if self.frozen:
            await anyio.sleep_forever()
        if self.away or reservation.lease_id in self.refuses:
            raise StoreUnavailable("away")
        if reservation.lease_id in self.charged:
            return "duplicate"
        self.charged.append(reservation.lease_id)
        return "settled"


async def settle(settler: Settler, response_id: str) -> None:
    await settler.settle(reservation(response_id), USAGE, status="completed")


async def test_a_settlement_is_in_redis_when_settle_returns() -> None:
    ledger = FlakyLedger()
    settler = Settler(ledger)
    await settle(settler, "a")
    assert (ledger.charged, settler.pending) == (["a"], 0)


async def test_settlements_wait_while_redis_is_away_and_all_arrive() -> None:
    ledger, pending = FlakyLedger(), list[int]()
    settler = Settler(ledger, on_pending=pending.append)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(settler.run)
        ledger.away = True
        for response_id in "abc":
            await settle(settler, response_id)
        assert settler.pending == 3
        ledger.away = False
        await until(lambda: settler.pending == 0)
        await settle(settler, "d")
        tasks.cancel_scope.cancel()
    assert sorted(ledger.charged) == ["a", "b", "c", "d"]
    assert pending == [1, 2, 3, 2, 1, 0]


async def test_a_settlement_older_than_its_marker_is_given_up_and_not_charged_twice() -> None:
    ledger, now, dropped = FlakyLedger(), [0.0], list[str]()
    settler = Settler(ledger, clock=lambda: now[0], on_dropped=lambda: dropped.append("one"))
    ledger.away = True
    await settle(settler, "a")
    now[0] = MAX_AGE_S + 1
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(settler.run)
        await until(lambda: settler.pending == 0)
        tasks.cancel_scope.cancel()
    assert (ledger.charged, dropped) == ([], ["one"])


def test_markers_live_longer_than_settlements_wait() -> None:
    marker = re.search(r"MARKER_S = (\d+) \* 60 \* 60", read_script("settle"))
    assert marker is not None
    assert int(marker[1]) * 60 * 60 > MAX_AGE_S


async def test_settle_returns_at_once_when_redis_hangs() -> None:
    ledger = FlakyLedger()
    ledger.frozen = True
    settler = Settler(ledger)
    started_at = time.monotonic()
    for n in range(20):
        await settle(settler, str(n))
    # The first one waits for Redis, the others know better.
    assert time.monotonic() - started_at < 1
    assert settler.pending == 20
    assert ledger.asked == ["0"]


async def test_a_cancelled_settlement_is_kept() -> None:
    ledger = FlakyLedger()
    ledger.frozen = True
    settler = Settler(ledger)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(settle, settler, "a")
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert settler.pending == 1


async def test_one_that_redis_refuses_does_not_stop_the_others() -> None:
    ledger = FlakyLedger()
    ledger.refuses = {"poison"}
    settler = Settler(ledger)
    for response_id in ("poison", "a", "b"):
        await settle(settler, response_id)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(settler.run)
        await until(lambda: ledger.charged == ["a", "b"])
        assert settler.pending == 1
        tasks.cancel_scope.cancel()


async def test_more_than_can_be_kept_is_dropped_loudly(caplog: pytest.LogCaptureFixture) -> None:
    ledger, dropped = FlakyLedger(), list[str]()
    ledger.away = True
    settler = Settler(ledger, max_pending=2, on_dropped=lambda: dropped.append("one"))
    for response_id in "abc":
        await settle(settler, response_id)
    assert (settler.pending, settler.full, dropped) == (2, True, ["one"])
    (lost,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "lease_id='c'" in lost.getMessage()
    assert "output_tokens=40" in lost.getMessage()


async def test_flush_says_what_waits_once_redis_is_back() -> None:
    ledger = FlakyLedger()
    ledger.away = True
    settler = Settler(ledger)
    await settle(settler, "a")
    ledger.away = False
    assert await settler.flush(deadline_s=5) == 0
    assert ledger.charged == ["a"]


async def test_what_flush_cannot_say_is_told_as_lost(caplog: pytest.LogCaptureFixture) -> None:
    ledger, dropped = FlakyLedger(), list[str]()
    ledger.away = True
    settler = Settler(ledger, on_dropped=lambda: dropped.append("one"))
    await settle(settler, "a")
    assert await settler.flush(deadline_s=0.05) == 1
    assert dropped == ["one"]
    assert "settlement lost, the gateway ends" in caplog.text


async def test_what_was_settled_while_redis_was_down_is_charged_once_when_it_is_back(
    tmp_path: Path,
) -> None:
    port = free_port()
    async with connect(f"redis://127.0.0.1:{port}") as client:
        ledger = RedisLedger(client, lease_ms=120_000)
        settler = Settler(ledger)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(settler.run)
            with start_redis(port, tmp_path, durable=True):
                await until(client.ping)
                await Administration(client).create_project("test", Limits(), with_id=PROJECT)
                await settle(settler, "before")
            started_at = time.monotonic()
            for response_id in ("a", "b", "c"):
                await settle(settler, response_id)
            assert time.monotonic() - started_at < 1
            assert settler.pending == 3
            with pytest.raises(StoreUnavailable):
                await ledger.reserve(
                    lease_id="d",
                    project_id=PROJECT,
                    config_version=1,
                    kid=KID,
                    model=MODEL,
                    input_tokens=1,
                    output_tokens=1,
                    max_output_tokens=1,
                    clampable=False,
                )
            assert time.monotonic() - started_at < 2
            with start_redis(port, tmp_path, durable=True):
                await until(lambda: settler.pending == 0)
                await settle(settler, "a")
                reader = UsageReader(client)
                entries = await reader.ledger_page(PROJECT)
                (daily,) = await reader.daily(PROJECT, DAY, DAY)
            tasks.cancel_scope.cancel()
    assert sorted(entry.response_id for entry in entries) == ["a", "b", "before", "c"]
    assert (daily.requests, daily.usage) == (4, Usage(400, 256, 160, 120))
