"""Whether this replica should be given requests, and why not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Never, Protocol

import anyio

_log = logging.getLogger(__name__)

WATCH_INTERVAL_S = 2.0


class Redis(Protocol):
    async def why_not(self) -> str | None: ...


class Workers(Protocol):
    def ready(self) -> bool: ...


class Settlements(Protocol):
    @property
    def full(self) -> bool: ...


class Readiness:
    """What `/readyz` tells."""

    def __init__(
        self,
        redis: Redis,
        workers: Workers,
        settlements: Settlements,
        *,
        serves_without_redis: Callable[[], bool] = lambda: False,
        unfit: Callable[[], str | None] = lambda: None,
    ) -> None:
        """*unfit*: why the Redis that answers must not be used."""
        self.draining = False
        self._serves_without_redis = serves_without_redis
        self._unfit = unfit
        self._redis = redis
        self._workers = workers
        self._settlements = settlements

    async def why_not(self) -> str | None:
        """In words; None when it is ready."""
        if self.draining:
            return "draining"
        if not self._workers.ready():
            return "no worker is up"
        if self._settlements.full:
            return "too many settlements wait for Redis"
        if (unfit := self._unfit()) is not None:
            return unfit
        reason = await self._redis.why_not()
        # All replicas lose Redis at once: were none of them ready, nobody would be served.
        return None if reason is not None and self._serves_without_redis() else reason

    async def watch(self) -> Never:
        """Log when it changes. Ends only by cancellation."""
        before = ""
        while True:
            reason = await self.why_not()
            now = "ready" if reason is None else f"not ready: {reason}"
            if now != before:
                _log.info("%s", now)
            before = now
            await anyio.sleep(WATCH_INTERVAL_S)
