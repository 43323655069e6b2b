"""Usage over time, in buckets, as OpenAI's usage API tells it.

Days come from the counters. Hours and minutes come from the ledger, by the moment of
each response's admission; they reach back as far as the ledger does.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from types import MappingProxyType
from typing import Literal, get_args

import anyio
from cachetools import TTLCache

from gateway.quota.usage import Usage
from gateway.store.usage import EPOCH, UsageReader

Width = Literal["1m", "1h", "1d"]
WIDTHS_S: dict[Width, int] = {"1m": 60, "1h": 3600, "1d": 86_400}
Grouping = Literal["project_id", "user_id", "api_key_id", "model"]
GROUPINGS: tuple[Grouping, ...] = get_args(Grouping)
# Of the ledger: read, and counted, in well under a millisecond each.
PAGE = 200
# Projects whose minutes are kept, and for how long after somebody has looked.
REMEMBERED, REMEMBERED_S = 200, 900
# Sums of a project beyond which its minutes are counted anew: a week of a few keys.
MAX_SUMS = 100_000


@dataclass(frozen=True, slots=True)
class Group:
    """What a sum is of; None where it is not told apart."""

    project_id: str | None
    api_key_id: str | None
    model: str | None
    user_id: str | None = None  # the principal that bears the key


@dataclass(frozen=True, slots=True)
class Bucket:
    start: int  # Unix time, s
    end: int
    sums: dict[Group, tuple[int, Usage]]  # requests, tokens


@dataclass(frozen=True, slots=True)
class _Row:
    """A day's counter, or one response."""

    at: int  # Unix time, s
    project_id: str
    kid: str
    model: str
    requests: int
    usage: Usage


class UsageBuckets:
    """Every method raises StoreUnavailable."""

    def __init__(
        self, reader: UsageReader, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._reader = reader
        # A chart asks for the last hour again and again: only what is new is read then.
        self._minutes = TTLCache[str, _Minutes, float](REMEMBERED, REMEMBERED_S, monotonic)

    async def read(
        self,
        project_ids: Sequence[str],
        *,
        start: int,
        end: int,
        width: Width,
        group_by: Sequence[Grouping] = (),
        kids: Sequence[str] = (),
        models: Sequence[str] = (),
        owners: Mapping[str, str] = MappingProxyType({}),
        user_ids: Sequence[str] = (),
    ) -> list[Bucket]:
        """Buckets from *start* to before *end* (Unix time, s), empty ones as well.

        *kids*, *models*, *user_ids*: only these, if any are named. *owners*: who bears a key,
        by kid, for what is told of principals.
        """
        width_s = WIDTHS_S[width]
        first = start // width_s * width_s
        sums: dict[int, dict[Group, Counter[str]]] = {at: {} for at in range(first, end, width_s)}
        if width != "1d":
            # Of many projects few have been busy in an hour.
            project_ids = await self._reader.charged_since(project_ids, first * 1000)
        for project_id in project_ids:
            rows = (
                await self._days(project_id, first, end)
                if width == "1d"
                else await self._responses(project_id, first, end)
            )
            for row in rows:
                # With a token of an identity provider a principal's id stands where a kid would.
                owner = owners.get(row.kid, row.kid)
                if (
                    (kids and row.kid not in kids)
                    or (models and row.model not in models)
                    or (user_ids and owner not in user_ids)
                ):
                    continue
                bucket = sums.get(row.at // width_s * width_s)
                if bucket is not None:
                    counts = bucket.setdefault(_group(row, owner, group_by), Counter())
                    counts.update(_counted(row.requests, row.usage))
        return [
            Bucket(at, at + width_s, {group: _sum(counts) for group, counts in found.items()})
            for at, found in sums.items()
        ]

    async def _days(self, project_id: str, start: int, end: int) -> Iterable[_Row]:
        since, until = _day(start), _day(end - 1)
        return [
            _Row(
                (daily.day - EPOCH).days * WIDTHS_S["1d"],
                project_id,
                daily.kid,
                daily.model,
                daily.requests,
                daily.usage,
            )
            for daily in await self._reader.daily(project_id, since, until)
        ]

    async def _responses(self, project_id: str, start: int, end: int) -> Iterable[_Row]:
        known = self._minutes.get(project_id)
        if known is None or len(known.sums) > MAX_SUMS:
            known = _Minutes(start * 1000)
        # Again, so that it is kept from now on.
        self._minutes[project_id] = known
        async with known.lock:
            await self._read_ledger(project_id, known, start * 1000)
        return [
            _Row(minute * 60, project_id, kid, model, *_sum(counts))
            for (minute, kid, model), counts in known.sums.items()
            if start <= minute * 60 < end
        ]

    async def _read_ledger(self, project_id: str, known: _Minutes, start_ms: int) -> None:
        """What was not read yet: before what is known, and after it. An entry's id is when it
        was settled, ms; that is never before its admission."""
        if start_ms < known.from_ms:
            await self._count(project_id, known, f"{start_ms - 1}-0", known.from_ms)
            known.from_ms = start_ms
        known.after = await self._count(project_id, known, known.after, None)

    async def _count(
        self, project_id: str, known: _Minutes, after: str, before_ms: int | None
    ) -> str:
        """The id of the last entry that was counted, or *after*."""
        while page := await self._reader.ledger_page(project_id, after=after, count=PAGE):
            for entry in page:
                if before_ms is not None and _milliseconds(entry.entry_id) >= before_ms:
                    return after
                at = (entry.admitted_at_ms // 60_000, entry.kid, entry.model)
                counts = known.sums.setdefault(at, Counter())
                counts.update(_counted(entry.requests, entry.usage))
                after = entry.entry_id
        return after


class _Minutes:
    """What the ledger of a project says of each minute, key and model, as far as it was read."""

    def __init__(self, from_ms: int) -> None:
        self.from_ms = from_ms  # entries from then on were read,
        self.after = f"{from_ms - 1}-0"  # up to this one
        self.sums: dict[tuple[int, str, str], Counter[str]] = {}
        self.lock = anyio.Lock()


def _day(unix_s: int) -> date:
    return EPOCH + timedelta(seconds=unix_s)


def _group(row: _Row, owner: str, group_by: Sequence[Grouping]) -> Group:
    return Group(
        row.project_id if "project_id" in group_by else None,
        row.kid if "api_key_id" in group_by else None,
        row.model if "model" in group_by else None,
        owner if "user_id" in group_by else None,
    )


def _counted(requests: int, usage: Usage) -> dict[str, int]:
    return {
        "requests": requests,
        **{each.name: getattr(usage, each.name) for each in fields(Usage)},
    }


def _milliseconds(entry_id: str) -> int:
    return int(entry_id.partition("-")[0])


def _sum(counts: Counter[str]) -> tuple[int, Usage]:
    return counts["requests"], Usage(**{each.name: counts[each.name] for each in fields(Usage)})
