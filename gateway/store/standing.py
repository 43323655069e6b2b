"""What a project, or one of its keys, has used of its budgets, and has open, now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.errors import store_errors
from gateway.store.replies import text
from gateway.store.scope_state import Lease, read_lease, read_scope_state
from gateway.store.usage import month_of

DAY_S = 86_400
MAX_LEASES = 1000


@dataclass(frozen=True, slots=True)
class Standing:
    """Tokens of this day and this month (UTC), and requests in flight."""

    day_used: int
    day_reserved: int
    month_used: int
    month_reserved: int
    concurrent_requests: int


class Standings:
    """Every method raises StoreUnavailable."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def read(self, project_id: str, *, kid: str | None = None) -> Standing:
        """Of the project, or of one key in it. Periods that are over count for nothing."""
        open_leases = (
            keys.lease_ends(project_id) if kid is None else keys.key_lease_ends(project_id, kid)
        )
        with store_errors():
            now_s, _ = await self._redis.time()
            packed: Any = await self._redis.hget(keys.quota_state(project_id), kid or "p")
            concurrent = await self._redis.zcount(open_leases, int(now_s) * 1000, "+inf")
        state = read_scope_state(packed)
        day = int(now_s) // DAY_S
        this_day = state.day == day
        this_month = state.month == month_of(day)
        return Standing(
            day_used=state.day_used if this_day else 0,
            day_reserved=state.day_reserved if this_day else 0,
            month_used=state.month_used if this_month else 0,
            month_reserved=state.month_reserved if this_month else 0,
            concurrent_requests=int(concurrent),
        )

    async def leases(self, project_id: str) -> list[Lease]:
        """Requests in flight, oldest first; the first MAX_LEASES."""
        with store_errors():
            ids: Any = await self._redis.zrange(keys.lease_ends(project_id), 0, MAX_LEASES - 1)
            packed: Any = (
                await self._redis.hmget(keys.leases(project_id), [text(each) for each in ids])
                if ids
                else []
            )
        found = [
            read_lease(text(lease_id), each)
            for lease_id, each in zip(ids, packed, strict=True)
            if each is not None
        ]
        return sorted(found, key=lambda lease: lease.admitted_at_ms)
