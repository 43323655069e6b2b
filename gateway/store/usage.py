"""What has been used: the counters of a day, and the ledger they are the sums of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from redis.asyncio import Redis

from gateway.quota.usage import Usage
from gateway.store import keys
from gateway.store.errors import store_errors
from gateway.store.replies import fields, text
from gateway.store.scope_state import read_counters

EPOCH = date(1970, 1, 1)
ASKED_A_TRIP = 500
MAX_DAYS = 400  # as long as settle.lua keeps the counters of a day


@dataclass(frozen=True, slots=True)
class DailyUsage:
    """What one key has used of one model on one day (UTC)."""

    day: date
    model: str
    kid: str
    requests: int
    usage: Usage


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One settled response."""

    entry_id: str  # in the order they were settled; the next page starts after it
    response_id: str
    kid: str
    model: str
    status: str
    verdict: str  # settled | lost | orphan: reaped | adjusted: the difference to that
    requests: int  # 1, or what an adjustment changes
    usage: Usage  # of an adjustment: differences
    day: date  # of the admission
    admitted_at_ms: int


def month_of(day: int) -> int:
    """YYYYMM of a day since 1970-01-01, as months.lua has it."""
    date_ = EPOCH + timedelta(days=day)
    return date_.year * 100 + date_.month


class UsageReader:
    """Reads counters and ledger. Every method raises StoreUnavailable."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def daily(self, project_id: str, since: date, until: date) -> list[DailyUsage]:
        """The days from *since* to *until*, both included; by day, model and kid.

        Raises ValueError for more than MAX_DAYS days.
        """
        if (until - since).days >= MAX_DAYS:
            raise ValueError(f"usage is kept, and read, for {MAX_DAYS} days")
        days = [since + timedelta(days=n) for n in range((until - since).days + 1)]
        with store_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for day in days:
                pipeline.hgetall(  # type: ignore[unused-awaitable]  # queued
                    keys.usage(project_id, (day - EPOCH).days)
                )
            replies: list[Any] = await pipeline.execute()
        return [
            _daily_usage(day, text(field), counters)
            for day, reply in zip(days, replies, strict=True)
            for field, counters in sorted(reply.items())
        ]

    async def charged_since(self, project_ids: Sequence[str], unix_ms: int) -> list[str]:
        """Those of the projects that anything was charged to since then."""
        found: list[str] = []
        for start in range(0, len(project_ids), ASKED_A_TRIP):
            asked = project_ids[start : start + ASKED_A_TRIP]
            with store_errors():
                pipeline = self._redis.pipeline(transaction=False)
                for project_id in asked:
                    pipeline.xrevrange(  # type: ignore[unused-awaitable]  # queued
                        keys.ledger(project_id), min=unix_ms, count=1
                    )
                replies: list[Any] = await pipeline.execute()
            found += [each for each, reply in zip(asked, replies, strict=True) if reply]
        return found

    async def ledger_page(
        self, project_id: str, *, after: str = "0-0", count: int = 100
    ) -> list[LedgerEntry]:
        """The next *count* entries after the one with id *after*; none at the end."""
        with store_errors():
            # redis-py's type allows for None in every place; XRANGE answers none.
            reply: Any = await self._redis.xrange(
                keys.ledger(project_id), min=f"({after}", max="+", count=count
            )
        return [ledger_entry(text(entry_id), fields(entry)) for entry_id, entry in reply]

    async def ledger_end(self, project_id: str, *, count: int) -> list[LedgerEntry]:
        """The last *count* entries, oldest first."""
        with store_errors():
            reply: Any = await self._redis.xrevrange(keys.ledger(project_id), count=count)
        return [ledger_entry(text(entry_id), fields(entry)) for entry_id, entry in reversed(reply)]


def _daily_usage(day: date, field: str, counters: bytes) -> DailyUsage:
    model, kid = field.rsplit("|", 1)
    return DailyUsage(day, model, kid, *read_counters(counters))


def ledger_entry(entry_id: str, entry: dict[str, str]) -> LedgerEntry:
    """An entry of the stream `gw:{project}:lg`."""
    response_id, kid, model, status, verdict, *numbers = entry["e"].split(",")
    requests, input_, cached, output, reasoning, day, admitted_at_ms = map(int, numbers)
    return LedgerEntry(
        entry_id=entry_id,
        response_id=response_id,
        kid=kid,
        model=model,
        status=status,
        verdict=verdict,
        requests=requests,
        usage=Usage(input_, cached, output, reasoning),
        day=EPOCH + timedelta(days=day),
        admitted_at_ms=admitted_at_ms,
    )
