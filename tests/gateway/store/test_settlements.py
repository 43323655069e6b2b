"""Settlements arrive, whatever Redis does meanwhile, and are charged once."""

from __future__ import annotations

import json
import re
import time
from datetime import date
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway.quota.limits import Limits
from gateway.quota.reservation import RateLimitState, Reservation
from gateway.quota.usage import Usage
from gateway.store.administration import Administration
from gateway.store.connection import connect
from gateway.store.errors import StoreUnavailable
from gateway.store.ledger import RedisLedger, Verdict
from gateway.store.patience import Patience
from gateway.store.scripts import read_script
from gateway.store.settlements import MAX_AGE_S, Settler
from gateway.store.spool import Spool
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

    async def settle(
        self,
        reservation: Reservation,
        usage: Usage,
        *,
        status: str,
        patience_s: float | None = None,
    ) -> Verdict:
        self.asked.append(reservation.lease_id)
        if self.frozen:
            with Patience(patience_s or 1e6):
                await anyio.sleep_forever()
        if self.away or reservation.lease_id in self.refuses:
            raise StoreUnavailable("away")
        if reservation.lease_id in self.charged:
            return "duplicate"
        self.charged.append(reservation.lease_id)
        return "settled"


class Watcher:
    """Hears what operators would see."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, object]] = []

    def settled(self, verdict: Verdict) -> None:
        self.heard.append(("settled", verdict))

    def undurable(self, settlements: int) -> None:
        self.heard.append(("undurable", settlements))

    def spooled(self, in_file_bytes: int) -> None:
        self.heard.append(("spooled", in_file_bytes))

    def quarantined(self) -> None:
        self.heard.append(("quarantined", 1))

    def lost(self) -> None:
        self.heard.append(("lost", 1))

    def told(self, what: str) -> list[object]:
        return [value for word, value in self.heard if word == what]


class Server:
    """The history that the store has: changed by a restart, or a failover."""

    def __init__(self) -> None:
        self.identity = "first"
        self.away = False

    async def ask(self) -> str:
        if self.away:
            raise StoreUnavailable("away")
        return self.identity


def settler_of(
    ledger: Any, watcher: Watcher | None = None, server: Server | None = None, **more: Any
) -> Settler:
    return Settler(
        ledger,
        observer=watcher or Watcher(),
        identity=(server or Server()).ask,
        **more,
    )


async def settle(settler: Settler, response_id: str) -> None:
    await settler.settle(reservation(response_id), USAGE, status="completed")


async def test_a_settlement_is_in_redis_when_settle_returns() -> None:
    ledger = FlakyLedger()
    settler = settler_of(ledger)
    await settle(settler, "a")
    assert (ledger.charged, settler.pending) == (["a"], 0)


async def test_settlements_wait_while_redis_is_away_and_all_arrive() -> None:
    ledger, now = FlakyLedger(), [0.0]
    settler = settler_of(ledger, unix_time=lambda: now[0])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(settler.run)
        ledger.away = True
        assert settler.oldest_s == 0
        for response_id in "abc":
            await settle(settler, response_id)
            now[0] += 1
        assert (settler.pending, settler.oldest_s) == (3, 3.0)
        ledger.away = False
        await until(lambda: settler.pending == 0)
        await settle(settler, "d")
        tasks.cancel_scope.cancel()
    assert sorted(ledger.charged) == ["a", "b", "c", "d"]
    assert settler.oldest_s == 0


async def test_the_oldest_is_told_though_those_that_were_refused_go_to_the_end_of_the_line() -> (
    None
):
    ledger, now = FlakyLedger(), [0.0]
    settler = settler_of(ledger, unix_time=lambda: now[0])
    ledger.away = True
    for number in range(40):
        await settle(settler, f"r{number}")
        now[0] += 1
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(settler.run)
        # A batch is 16 of the 40: the first of them come behind the others.
        await until(lambda: next(iter(settler._waiting)) != "r0")
        assert settler.oldest_s == 40.0
        tasks.cancel_scope.cancel()


async def test_a_settlement_older_than_its_marker_is_given_up_and_not_charged_twice() -> None:
    ledger, now, watcher = FlakyLedger(), [0.0], Watcher()
    settler = settler_of(ledger, watcher, unix_time=lambda: now[0])
    ledger.away = True
    await settle(settler, "a")
    now[0] = MAX_AGE_S + 1
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(settler.run)
        await until(lambda: settler.pending == 0)
        tasks.cancel_scope.cancel()
    assert (ledger.charged, watcher.told("lost")) == ([], [1])


def test_markers_live_longer_than_settlements_wait() -> None:
    marker = re.search(r"MARKER_S = (\d+) \* 60 \* 60", read_script("settle"))
    assert marker is not None
    assert int(marker[1]) * 60 * 60 > MAX_AGE_S


async def test_settle_returns_at_once_when_redis_hangs() -> None:
    ledger = FlakyLedger()
    ledger.frozen = True
    settler = settler_of(ledger)
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
    settler = settler_of(ledger)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(settle, settler, "a")
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert settler.pending == 1


async def test_one_that_redis_refuses_does_not_stop_the_others() -> None:
    ledger = FlakyLedger()
    ledger.refuses = {"poison"}
    settler = settler_of(ledger)
    for response_id in ("poison", "a", "b"):
        await settle(settler, response_id)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(settler.run)
        await until(lambda: ledger.charged == ["a", "b"])
        assert settler.pending == 1
        tasks.cancel_scope.cancel()


async def test_more_than_can_be_kept_is_dropped_loudly(caplog: pytest.LogCaptureFixture) -> None:
    ledger, watcher = FlakyLedger(), Watcher()
    ledger.away = True
    settler = settler_of(ledger, watcher, max_pending=2)
    for response_id in "abc":
        await settle(settler, response_id)
    assert (settler.pending, settler.full, watcher.told("lost")) == (2, True, [1])
    (lost,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "lease_id='c'" in lost.getMessage()
    assert "output_tokens=40" in lost.getMessage()


async def test_flush_says_what_waits_once_redis_is_back() -> None:
    ledger = FlakyLedger()
    ledger.away = True
    settler = settler_of(ledger)
    await settle(settler, "a")
    ledger.away = False
    assert await settler.flush(deadline_s=5) == 0
    assert ledger.charged == ["a"]


async def test_what_flush_cannot_say_is_told_as_lost(caplog: pytest.LogCaptureFixture) -> None:
    ledger, watcher = FlakyLedger(), Watcher()
    ledger.away = True
    settler = settler_of(ledger, watcher)
    await settle(settler, "a")
    assert await settler.flush(deadline_s=0.05) == 1
    assert watcher.told("lost") == [1]
    assert "settlement lost, the gateway ends" in caplog.text


async def test_what_was_acknowledged_is_said_again_when_the_server_has_lost_its_last_moments() -> (
    None
):
    ledger, server, now = FlakyLedger(), Server(), [100.0]
    settler = settler_of(ledger, server=server, keep_s=10, monotonic=lambda: now[0])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(settler.run)
        tasks.start_soon(settler.watch)
        await settle(settler, "old")
        now[0] += 11
        await until(lambda: settler.undurable == 0)
        for response_id in "abc":
            await settle(settler, response_id)
        assert settler.undurable == 3
        # A failover to a replica that never heard of b and c.
        ledger.charged = ["old", "a"]
        server.identity = "second"
        await until(lambda: ledger.charged == ["old", "a", "b", "c"])
        assert settler.undurable == 3  # of the new server, and not yet durable there
        tasks.cancel_scope.cancel()
    assert ledger.asked == ["old", *"abc", *"abc"]


async def test_nothing_is_forgotten_while_the_server_cannot_be_asked() -> None:
    ledger, server, now = FlakyLedger(), Server(), [100.0]
    settler = settler_of(ledger, server=server, keep_s=10, monotonic=lambda: now[0])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(settler.run)
        tasks.start_soon(settler.watch)
        await settle(settler, "a")
        await anyio.wait_all_tasks_blocked()
        server.away = True
        now[0] += 100
        await anyio.sleep(0.7)  # the watcher has tried meanwhile
        assert settler.undurable == 1
        server.away, server.identity = False, "second"
        await until(lambda: ledger.asked == ["a", "a"])
        tasks.cancel_scope.cancel()


async def test_a_killed_gateways_spool_is_said_by_the_next_one(tmp_path: Path) -> None:
    ledger, watcher = FlakyLedger(), Watcher()
    ledger.away = True
    killed = Spool(tmp_path, max_bytes=10**6)
    settler = settler_of(ledger, watcher, spool=killed, unix_time=lambda: time.time() - 3)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(settler.keep_spool)
        for response_id in "abc":
            await settle(settler, response_id)
        await until(lambda: max([0, *map(int, map(str, watcher.told("spooled")))]) > 0)
        tasks.cancel_scope.cancel()
    killed.close()

    ledger.away = False
    next_one = settler_of(ledger, spool=Spool(tmp_path, max_bytes=10**6))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(next_one.run)
        tasks.start_soon(next_one.keep_spool)
        await until(lambda: sorted(ledger.charged) == ["a", "b", "c"])
        tasks.cancel_scope.cancel()


async def test_a_spool_is_emptied_once_redis_has_everything(tmp_path: Path) -> None:
    ledger, watcher = FlakyLedger(), Watcher()
    ledger.away = True
    spool = Spool(tmp_path, max_bytes=10**6)
    settler = settler_of(ledger, watcher, spool=spool, unix_time=lambda: time.time() - 3)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(settler.run)
        tasks.start_soon(settler.keep_spool)
        await settle(settler, "a")
        await until(lambda: spool.bytes > 0)
        ledger.away = False
        await until(lambda: spool.bytes == 0)
        tasks.cancel_scope.cancel()
    assert (ledger.charged, settler.pending) == (["a"], 0)


async def test_a_full_spool_stops_admissions_and_drops_nothing(tmp_path: Path) -> None:
    ledger = FlakyLedger()
    ledger.away = True
    spool = Spool(tmp_path, max_bytes=400)  # one settlement
    settler = settler_of(ledger, spool=spool, unix_time=lambda: time.time() - 3)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(settler.keep_spool)
        await settle(settler, "a")
        await until(lambda: spool.bytes > 0)
        assert not settler.full
        await settle(settler, "b")
        await until(lambda: settler.full)
        assert settler.pending == 2
        ledger.away = False
        await settler.flush(5)
        await until(lambda: not settler.full)
        tasks.cancel_scope.cancel()
    assert ledger.charged == ["a", "b"]


async def test_what_is_too_old_to_be_charged_goes_to_the_quarantine(tmp_path: Path) -> None:
    ledger, now, watcher = FlakyLedger(), [0.0], Watcher()
    ledger.away = True
    spool = Spool(tmp_path, max_bytes=10**6)
    settler = settler_of(ledger, watcher, spool=spool, unix_time=lambda: now[0])
    await settle(settler, "a")
    now[0] = MAX_AGE_S + 1
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(settler.run)
        await until(lambda: settler.pending == 0)
        tasks.cancel_scope.cancel()
    assert (ledger.charged, watcher.told("quarantined")) == ([], [1])
    (kept,) = (tmp_path / "quarantine.jsonl").read_text().splitlines()
    assert json.loads(kept)["reservation"]["lease_id"] == "a"


async def test_what_flush_cannot_say_is_in_the_spool_and_not_lost(tmp_path: Path) -> None:
    ledger, watcher = FlakyLedger(), Watcher()
    ledger.away = True
    spool = Spool(tmp_path, max_bytes=10**6)
    settler = settler_of(ledger, watcher, spool=spool)
    await settle(settler, "a")
    assert await settler.flush(deadline_s=0.05) == 1
    spool.close()
    assert watcher.told("lost") == []
    (found,) = Spool(tmp_path, max_bytes=10**6).adopt()
    assert (found.response_id, found.usage) == ("a", USAGE)


async def test_what_was_settled_while_redis_was_down_is_charged_once_when_it_is_back(
    tmp_path: Path,
) -> None:
    port = free_port()
    async with connect(f"redis://127.0.0.1:{port}") as client:
        ledger = RedisLedger(client, lease_ms=120_000)
        settler = settler_of(ledger)
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
