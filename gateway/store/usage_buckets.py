"""Usage over time, in buckets, as OpenAI's usage API tells it.

Days come from the counters. Hours and minutes come from the ledger, by the moment of
each response's admission; they reach back as far as the ledger does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from types import MappingProxyType
from typing import Literal, get_args

from gateway.quota.usage import Usage
from gateway.store.usage import EPOCH, UsageReader

Width = Literal["1m", "1h", "1d"]
WIDTHS_S: dict[Width, int] = {"1m": 60, "1h": 3600, "1d": 86_400}
Grouping = Literal["project_id", "user_id", "api_key_id", "model"]
GROUPINGS: tuple[Grouping, ...] = get_args(Grouping)
PAGE = 1000
# A response is settled after it was admitted: at most so much later, but for gateways that
# were frozen and a Redis that was away.
SETTLED_WITHIN_S = 3600


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

    def __init__(self, reader: UsageReader) -> None:
        self._reader = reader

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
                    counts.update(_counts(row))
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
        rows: list[_Row] = []
        # The id of an entry is when it was settled, ms.
        after, last_ms = f"{start * 1000 - 1}-0", (end + SETTLED_WITHIN_S) * 1000
        while page := await self._reader.ledger_page(project_id, after=after, count=PAGE):
            rows += [
                _Row(
                    entry.admitted_at_ms // 1000,
                    project_id,
                    entry.kid,
                    entry.model,
                    entry.requests,
                    entry.usage,
                )
                for entry in page
                if start * 1000 <= entry.admitted_at_ms < end * 1000
            ]
            after = page[-1].entry_id
            if int(after.partition("-")[0]) > last_ms:
                break
        return rows


def _day(unix_s: int) -> date:
    return EPOCH + timedelta(seconds=unix_s)


def _group(row: _Row, owner: str, group_by: Sequence[Grouping]) -> Group:
    return Group(
        row.project_id if "project_id" in group_by else None,
        row.kid if "api_key_id" in group_by else None,
        row.model if "model" in group_by else None,
        owner if "user_id" in group_by else None,
    )


def _counts(row: _Row) -> dict[str, int]:
    return {
        "requests": row.requests,
        **{each.name: getattr(row.usage, each.name) for each in fields(Usage)},
    }


def _sum(counts: Counter[str]) -> tuple[int, Usage]:
    return counts["requests"], Usage(**{each.name: counts[each.name] for each in fields(Usage)})
