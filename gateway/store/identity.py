"""Which Redis is it that answers, and has it the history that we know?

A server that was restarted, or replaced by its replica behind the same address,
may have lost its last moments. It tells by its run id, which is new with every
start, and by its replication id, which is new with every failover.
"""

from __future__ import annotations

from redis.asyncio import Redis

from gateway.store.errors import store_errors


class StoreIdentity:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def ask(self) -> str:
        """Equal as long as nothing that was acknowledged can be lost. Raises StoreUnavailable."""
        with store_errors():
            server = await self._redis.info("server")
            replication = await self._redis.info("replication")
        return f"{server['run_id']} {replication.get('master_replid', '')}"
