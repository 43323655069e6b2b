"""What projects do, for who watches all of them: what came since the last look, and how their
quotas stand now."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from gateway.quota.limits import Limits, Quota
from gateway.quota.local_quotas import BURST_S
from gateway.store import keys
from gateway.store.errors import store_errors
from gateway.store.leased_projects import PARTS, LeasedProjects
from gateway.store.records import read_project
from gateway.store.replies import fields, text
from gateway.store.scope_state import ScopeState, read_scope_state
from gateway.store.usage import LedgerEntry, ledger_entry, month_of

_log = logging.getLogger(__name__)

ASKED_A_TRIP = 500
ENTRIES_A_TRIP = 1000
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Activity:
    """Of one project, since the last look."""

    entries: Sequence[LedgerEntry] = ()
    refusals: Mapping[str, int] = field(default_factory=dict)  # by quota


@dataclass(frozen=True, slots=True)
class Fullness:
    """How much of its quotas a project has taken."""

    name: str
    organisation_id: str
    # Of those that are limited. Of rates and concurrency 1 means that the next request is
    # refused; of budgets that all is used, what is being generated not counted.
    ratios: Mapping[Quota, float]


class ProjectActivity:
    """Every method raises StoreUnavailable; then the next look tells what this one would have."""

    def __init__(self, redis: Redis, *, unix_time: Callable[[], float] = time.time) -> None:
        """What happened before now is not told."""
        self._redis = redis
        self._leased = LeasedProjects(redis)
        self._unix_time = unix_time
        self._begin = f"{int(unix_time() * 1000)}-0"
        self._read_to: dict[str, str] = {}  # ids of ledger entries, by project
        self._refusals: dict[str, dict[str, int]] = {}  # as they were last

    async def begin(self) -> dict[str, int]:
        """To be called before the first look: refusals from now on are told.

        Returns the tokens that each project has used this month (UTC), of those that have used any.
        """
        month = month_of(int(self._unix_time()) // DAY_S)
        used = {}
        with store_errors():
            project_ids = [text(each) for each in await self._redis.smembers(keys.PROJECTS)]
        for asked in _in_trips(project_ids):
            with store_errors():
                pipeline = self._redis.pipeline(transaction=False)
                for each in asked:
                    pipeline.hgetall(keys.refusals(each))  # type: ignore[unused-awaitable]
                    pipeline.hget(keys.quota_state(each), "p")  # type: ignore[unused-awaitable]
                replies: list[Any] = await pipeline.execute()
            for position, each in enumerate(asked):
                refusals, packed = replies[2 * position : 2 * position + 2]
                self._refusals[each] = _counts(refusals)
                state = read_scope_state(packed)
                if state.month == month and state.month_used:
                    used[each] = state.month_used
        return used

    async def look(self) -> dict[str, Activity]:
        """What has happened since the last look, in the projects that were active lately."""
        active = [each for part in range(PARTS) for each in await self._leased.of(part)]
        entries, read_to = await self._new_entries(active)
        refusals, counts = await self._new_refusals(active)
        # Only now: a look that fails has seen nothing. Who is not active any more is remembered:
        # its ledger stays, and would be told again when it comes back.
        self._read_to |= read_to
        self._refusals |= counts
        return {
            each: Activity(entries.get(each, ()), refusals.get(each, {}))
            for each in entries.keys() | refusals.keys()
        }

    async def _new_entries(
        self, project_ids: Sequence[str]
    ) -> tuple[dict[str, list[LedgerEntry]], dict[str, str]]:
        """Also how far each ledger has been read."""
        found: dict[str, list[LedgerEntry]] = {}
        read_to = {each: self._read_to.get(each, self._begin) for each in project_ids}
        left = list(project_ids)
        while left:
            unfinished = []
            for asked in _in_trips(left):
                with store_errors():
                    pipeline = self._redis.pipeline(transaction=False)
                    for project_id in asked:
                        pipeline.xrange(  # type: ignore[unused-awaitable]  # queued
                            keys.ledger(project_id),
                            min=f"({read_to[project_id]}",
                            count=ENTRIES_A_TRIP,
                        )
                    replies: list[Any] = await pipeline.execute()
                for project_id, reply in zip(asked, replies, strict=True):
                    if reply:
                        page = [_entry(project_id, text(id_), entry) for id_, entry in reply]
                        found.setdefault(project_id, []).extend(filter(None, page))
                        read_to[project_id] = text(reply[-1][0])
                    if len(reply) == ENTRIES_A_TRIP:
                        unfinished.append(project_id)
            left = unfinished
        return found, read_to

    async def _new_refusals(
        self, project_ids: Sequence[str]
    ) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, int]]]:
        """Also the counts as they are now."""
        found: dict[str, dict[str, int]] = {}
        counts: dict[str, dict[str, int]] = {}
        for asked in _in_trips(project_ids):
            with store_errors():
                pipeline = self._redis.pipeline(transaction=False)
                for project_id in asked:
                    pipeline.hgetall(keys.refusals(project_id))  # type: ignore[unused-awaitable]
                replies: list[Any] = await pipeline.execute()
            for project_id, reply in zip(asked, replies, strict=True):
                now = _counts(reply)
                before = self._refusals.get(project_id, {})  # created since we began
                # Fewer than before: the count had ended, and began anew.
                news = {
                    quota: count - before.get(quota, 0) if count >= before.get(quota, 0) else count
                    for quota, count in now.items()
                }
                counts[project_id] = now
                if any(news.values()):
                    found[project_id] = news
        return found, counts

    async def fullness(self, project_ids: Sequence[str]) -> dict[str, Fullness]:
        """How the quotas of these projects stand now."""
        found = {}
        for asked in _in_trips(project_ids):
            now_s = self._unix_time()
            with store_errors():
                pipeline = self._redis.pipeline(transaction=False)
                for each in asked:
                    pipeline.hgetall(keys.config(each))  # type: ignore[unused-awaitable]
                    pipeline.hget(keys.quota_state(each), "p")  # type: ignore[unused-awaitable]
                    pipeline.zcount(  # type: ignore[unused-awaitable]
                        keys.lease_ends(each), int(now_s * 1000), "+inf"
                    )
                replies: list[Any] = await pipeline.execute()
            for position, each in enumerate(asked):
                config, packed, live = replies[3 * position : 3 * position + 3]
                project = read_project(each, fields(config))
                if project is not None:
                    ratios = dict(_ratios(project.limits, read_scope_state(packed), live, now_s))
                    found[each] = Fullness(project.name, project.organisation_id, ratios)
        return found


def _ratios(
    limits: Limits, state: ScopeState, live: int, now_s: float
) -> Iterator[tuple[Quota, float]]:
    buckets: tuple[tuple[Quota, int | None, int], ...] = (
        ("requests_per_minute", limits.requests_per_minute, state.requests_rest_us),
        ("tokens_per_minute", limits.tokens_per_minute, state.tokens_rest_us),
        ("input_tokens_per_minute", limits.input_tokens_per_minute, state.input_rest_us),
        ("output_tokens_per_minute", limits.output_tokens_per_minute, state.output_rest_us),
    )
    for quota, limit, rest_us in buckets:
        if limit is not None:
            # Above 1 it is in debt: an answer was longer than was thought.
            yield quota, max(0.0, rest_us / 1e6 - now_s) / BURST_S
    if limits.concurrent_requests is not None:
        yield "concurrent_requests", live / limits.concurrent_requests
    day = int(now_s) // DAY_S
    if limits.daily_tokens is not None:
        used = state.day_used if state.day == day else 0
        yield "daily_tokens", used / limits.daily_tokens
    if limits.monthly_tokens is not None:
        used = state.month_used if state.month == month_of(day) else 0
        yield "monthly_tokens", used / limits.monthly_tokens


def totals(entries: Sequence[LedgerEntry]) -> tuple[Counter[str], Counter[str]]:
    """Requests by status, and tokens by type; never below 0, as the adjustment of a charge may be."""
    requests: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    for entry in entries:
        requests[entry.status] += max(0, entry.requests)
        tokens["input"] += max(0, entry.usage.input_tokens)
        tokens["cached"] += max(0, entry.usage.cached_tokens)
        tokens["output"] += max(0, entry.usage.output_tokens)
        tokens["reasoning"] += max(0, entry.usage.reasoning_tokens)
    return requests, tokens


def _counts(reply: Any) -> dict[str, int]:
    """Refusals by quota."""
    return {quota: int(count) for quota, count in fields(reply).items()}


def _entry(project_id: str, entry_id: str, content: Any) -> LedgerEntry | None:
    """None for one that no gateway of this version writes: all others are to be told still."""
    try:
        return ledger_entry(entry_id, fields(content))
    except (KeyError, ValueError):
        _log.warning("entry %s of the ledger of %s cannot be read", entry_id, project_id)
        return None


def _in_trips(project_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(project_ids), ASKED_A_TRIP):
        yield project_ids[start : start + ASKED_A_TRIP]
