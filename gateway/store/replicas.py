"""How many gateways there are: each says in Redis that it is there, and counts those who have."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from typing import Never

import anyio
from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.errors import StoreUnavailable, store_errors

_log = logging.getLogger(__name__)

INTERVAL_S = 5.0
GONE_AFTER_S = 30.0


class Replicas:
    """The app starts `run()`."""

    def __init__(
        self,
        redis: Redis,
        *,
        unix_time: Callable[[], float] = time.time,
        on_counted: Callable[[int], None] = lambda gateways: None,
    ) -> None:
        self._redis = redis
        self._unix_time = unix_time
        self._on_counted = on_counted
        self._name = uuid.uuid4().hex
        # None: Redis has never answered, so nothing is known.
        self.count: int | None = None

    async def run(self) -> Never:
        """Ends only by cancellation."""
        while True:
            try:
                await self.announce()
            except StoreUnavailable as exc:
                # As many as there were last; those that have gone meanwhile are missed by nobody.
                _log.debug("gateways are not counted: %s", exc)
            await anyio.sleep(INTERVAL_S if self.count is not None else INTERVAL_S / 20)

    async def announce(self) -> None:
        """Raises StoreUnavailable."""
        now = self._unix_time()
        with store_errors():
            await self._redis.zadd(keys.REPLICAS, {self._name: now})
            await self._redis.zremrangebyscore(keys.REPLICAS, "-inf", now - GONE_AFTER_S)
            self.count = int(await self._redis.zcard(keys.REPLICAS))
        self._on_counted(self.count)

    async def leave(self) -> None:
        """Said on the way out; raises nothing."""
        try:
            with store_errors():
                await self._redis.zrem(keys.REPLICAS, self._name)
        except StoreUnavailable as exc:
            _log.debug("this gateway is counted for a while longer: %s", exc)
