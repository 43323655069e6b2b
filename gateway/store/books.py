"""Do the books agree? The ledger is the record; counters and budgets are its sums.

At a quiet moment, when no lease is open, the sums of a project's ledger equal its
usage counters of every day, and what its budgets of this day and month say is used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from gateway.quota.usage import Usage
from gateway.store import keys
from gateway.store.errors import store_errors
from gateway.store.replies import text
from gateway.store.scope_state import ScopeState, read_counters, read_scope_state
from gateway.store.usage import EPOCH, UsageReader, month_of

PAGE = 1000
# Of one key of one model on one day: what the ledger and the counters are compared by.
_Row = tuple[int, str, str]  # day since 1970, model, kid


@dataclass(frozen=True, slots=True)
class Difference:
    """Two books that should say the same, and do not."""

    project_id: str
    what: str  # "counters 2026-11-26 gpt-oss-120b AQqg...", "budget of the day", ...
    ledger: int  # tokens, or requests
    counted: int


@dataclass(frozen=True, slots=True)
class ProjectBooks:
    """What was found in one project."""

    project_id: str
    entries: int  # of the ledger
    open_leases: int
    reserved_tokens: int  # of the day's budget; 0 without leases
    differences: tuple[Difference, ...]


class Books:
    """Recomputes sums. Every method raises StoreUnavailable."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._usage = UsageReader(redis)

    async def audit(self, project_id: str) -> ProjectBooks:
        """Compare a project's ledger, read page by page, with its counters and its budgets.

        A ledger that was trimmed cannot be compared: what is missing shows as a difference
        of the days it was trimmed in.
        """
        sums: dict[_Row, Counter[str]] = {}
        entries = 0
        after = "0-0"
        while page := await self._usage.ledger_page(project_id, after=after, count=PAGE):
            for entry in page:
                row = ((entry.day - EPOCH).days, entry.model, entry.kid)
                sums.setdefault(row, Counter()).update(_counts(entry.requests, entry.usage))
            entries += len(page)
            after = page[-1].entry_id
        differences = [
            *await self._counters(project_id, sums),
            *await self._budgets(project_id, sums),
        ]
        with store_errors():
            leases = await self._redis.hlen(keys.leases(project_id))
        state = await self._state(project_id, "p")
        return ProjectBooks(
            project_id, entries, int(leases), state.day_reserved, tuple(differences)
        )

    async def _counters(
        self, project_id: str, sums: dict[_Row, Counter[str]]
    ) -> Iterable[Difference]:
        counted: dict[_Row, Counter[str]] = {}
        for day in {day for day, _, _ in sums}:
            with store_errors():
                reply: Any = await self._redis.hgetall(keys.usage(project_id, day))
            for field, packed in reply.items():
                model, kid = text(field).rsplit("|", 1)
                counted[day, model, kid] = Counter(_counts(*read_counters(packed)))
        differences = []
        for row in sorted(sums.keys() | counted.keys()):
            for name in ("requests", "input", "cached", "output", "reasoning"):
                ledger = sums.get(row, Counter())[name]
                counter = counted.get(row, Counter())[name]
                if ledger != counter:
                    day, model, kid = row
                    what = f"{name} of day {day}, {model}, {kid}"
                    differences.append(Difference(project_id, what, ledger, counter))
        return differences

    async def _budgets(
        self, project_id: str, sums: dict[_Row, Counter[str]]
    ) -> Iterable[Difference]:
        differences = []
        for scope in ("p", *sorted({kid for _, _, kid in sums})):
            state = await self._state(project_id, scope)
            rows = [
                (day, count["input"] + count["output"])
                for (day, _, kid), count in sums.items()
                if scope in ("p", kid)
            ]
            of_day = sum(tokens for day, tokens in rows if day == state.day)
            of_month = sum(tokens for day, tokens in rows if month_of(day) == state.month)
            name = "project" if scope == "p" else scope
            for period, ledger, used in (
                ("day", of_day, state.day_used),
                ("month", of_month, state.month_used),
            ):
                if ledger != used:
                    what = f"budget of the {period}, {name}"
                    differences.append(Difference(project_id, what, ledger, used))
        return differences

    async def _state(self, project_id: str, scope: str) -> ScopeState:
        with store_errors():
            packed: Any = await self._redis.hget(keys.quota_state(project_id), scope)
        return read_scope_state(packed)


def _counts(requests: int, usage: Usage) -> dict[str, int]:
    return {
        "requests": requests,
        "input": usage.input_tokens,
        "cached": usage.cached_tokens,
        "output": usage.output_tokens,
        "reasoning": usage.reasoning_tokens,
    }
