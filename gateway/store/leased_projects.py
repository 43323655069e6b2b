"""Which projects may have leases: what reapers look through.

Redis has no way to ask for "all projects with leases" but to look at every
project. So a gateway writes down a project before the first lease it takes there,
and again once a minute while it takes more. The list lies in 64 parts, so that
reapers can share the work, and a cluster the load.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from typing import Any

from cachetools import TTLCache
from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.errors import store_errors
from gateway.store.replies import text
from gateway.store.scripts import read_script

PARTS = 64
WRITTEN_AGAIN_AFTER_S = 60.0
# A project that has taken no lease for so long has none left: none lives for longer.
QUIET_AFTER_S = 3600.0
REMEMBERED = 10_000


class LeasedProjects:
    """Every method raises StoreUnavailable."""

    def __init__(
        self,
        redis: Redis,
        *,
        quiet_after_s: float = QUIET_AFTER_S,
        unix_time: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """*quiet_after_s* must be longer than any lease is renewed."""
        self._redis = redis
        self._quiet_after_s = quiet_after_s
        self._unix_time = unix_time
        self._written = TTLCache[str, None, float](REMEMBERED, WRITTEN_AGAIN_AFTER_S, monotonic)
        self._forget = redis.register_script(read_script("forget_project"))

    async def add(self, project_id: str) -> None:
        """The project is going to have a lease. Cheap when that was said within a minute."""
        if project_id in self._written:
            return
        with store_errors():
            await self._redis.zadd(keys.leased(part_of(project_id)), {project_id: self._now()})
        self._written[project_id] = None

    async def claim(self, part: int, *, period_ms: int) -> bool:
        """Whether this gateway looks through *part* in this period; others are told no."""
        with store_errors():
            return bool(
                await self._redis.set(keys.reaping(part), "1", nx=True, px=max(period_ms, 1))
            )

    async def of(self, part: int) -> list[str]:
        """The projects in a part."""
        with store_errors():
            members: Any = await self._redis.zrange(keys.leased(part), 0, -1)
        return [text(each) for each in members]

    async def forget_if_quiet(self, project_id: str) -> None:
        """Take a project without leases off the list, unless it may have one soon."""
        before = self._now() - self._quiet_after_s
        with store_errors():
            await self._forget(keys=[keys.leased(part_of(project_id))], args=[project_id, before])

    def _now(self) -> int:
        return int(self._unix_time())


def part_of(project_id: str) -> int:
    return zlib.crc32(project_id.encode()) % PARTS
