"""Wait until replicas have what was changed: a revocation must not be undone by a failover."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.errors import StoreUnavailable, store_errors

TIMEOUT_MS = 1000


class Durability:
    """Of changes that people make; what requests change is said again when it is lost."""

    def __init__(self, redis: Redis, *, replicas: int) -> None:
        """*replicas*: how many must have a change; 0 waits for none."""
        self._redis = redis
        self._replicas = replicas

    async def wait(self) -> None:
        """Until all that was written before is there. Raises StoreUnavailable: it was written, and
        a failover now could lose it."""
        if not self._replicas:
            return
        with store_errors():
            # WAIT is about what its own connection has written, so that writes something:
            # replicas that have it have all that came before.
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.set(keys.DURABLE, "1")  # type: ignore[unused-awaitable]  # queued
            pipeline.wait(self._replicas, TIMEOUT_MS)  # type: ignore[unused-awaitable]
            answers: list[Any] = await pipeline.execute()
        if answers[-1] < self._replicas:
            raise StoreUnavailable(
                f"{answers[-1]} of {self._replicas} replicas have what was changed"
            )
