"""When each key was last used: to the minute, and written beside requests.

A write for every request would cost as much as reserving; nobody asks for seconds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Never

import anyio
from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.errors import StoreUnavailable, store_errors

_log = logging.getLogger(__name__)

INTERVAL_S = 30.0
MINUTE_S = 60
MAX_NOTED = 100_000


class LastUsed:
    """The app starts `run()` in its task group, and tells `note` of every key that is let in."""

    def __init__(self, redis: Redis, *, unix_time: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._unix_time = unix_time
        self._noted: dict[str, int] = {}
        self._written: dict[str, int] = {}

    def note(self, kid: str) -> None:
        minute = int(self._unix_time()) // MINUTE_S * MINUTE_S
        if self._written.get(kid) != minute and len(self._noted) < MAX_NOTED:
            self._noted[kid] = minute

    async def run(self) -> Never:
        """Write what was noted, again and again. Ends only by cancellation."""
        while True:
            await anyio.sleep(INTERVAL_S)
            await self.write()

    async def write(self) -> None:
        """What Redis does not take is written the next time. Raises nothing."""
        noted, self._noted = self._noted, {}
        for kid, minute in noted.items():
            try:
                with store_errors():
                    await self._redis.hset(keys.api_key(kid), "last_used", str(minute))
            except StoreUnavailable as exc:
                _log.warning("when keys were last used is not written: %s", exc)
                self._noted = {**noted, **self._noted}
                return
        # Only of the last round: so that a busy key is written once a minute, not more.
        self._written = noted
