"""How often a project's quotas have refused, for whoever watches projects: written down in batches.

A refusal by Redis writes nothing there, and should not: a flood that is refused would be a flood
of writes. So each gateway counts, and tells every few seconds.
"""

from __future__ import annotations

import logging
from typing import Never

import anyio
from redis.asyncio import Redis

from gateway.quota.limits import Quota
from gateway.store import keys
from gateway.store.errors import StoreUnavailable, store_errors

_log = logging.getLogger(__name__)

INTERVAL_S = 5.0
KEPT_S = 2 * 86_400
# Projects and quotas together; more are refused at once only by somebody who means harm.
MAX_NOTED = 10_000
# Redis-py packs a trip in one piece, on the event loop.
WRITTEN_A_TRIP = 500


class RefusalCounts:
    """The app starts `run()` in its task group, and tells `note` of every refusal."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._noted: dict[tuple[str, Quota], int] = {}

    def note(self, project_id: str, quota: Quota) -> None:
        which = (project_id, quota)
        if which in self._noted or len(self._noted) < MAX_NOTED:
            self._noted[which] = self._noted.get(which, 0) + 1

    async def run(self) -> Never:
        """Ends only by cancellation."""
        while True:
            await anyio.sleep(INTERVAL_S)
            await self.write()

    async def write(self) -> None:
        """What Redis does not take is forgotten: these are to be watched, not to be billed."""
        noted, self._noted = list(self._noted.items()), {}
        try:
            for start in range(0, len(noted), WRITTEN_A_TRIP):
                with store_errors():
                    pipeline = self._redis.pipeline(transaction=False)
                    for (project_id, quota), count in noted[start : start + WRITTEN_A_TRIP]:
                        key = keys.refusals(project_id)
                        pipeline.hincrby(key, quota, count)  # type: ignore[unused-awaitable]  # queued
                        pipeline.expire(key, KEPT_S)  # type: ignore[unused-awaitable]
                    await pipeline.execute()
        except StoreUnavailable as exc:
            _log.warning("refusals are not counted: %s", exc)
