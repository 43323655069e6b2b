"""Which Redis is it that answers, and has it the history that we know?

A server that was restarted, or replaced by its replica behind the same address,
may have lost its last moments. It tells by its run id, which is new with every
start, and by its replication id, which is new with every failover.
"""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis, RedisCluster

from gateway.store.errors import store_errors


class StoreIdentity:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def ask(self) -> str:
        """Equal as long as nothing that was acknowledged can be lost. Raises StoreUnavailable.

        Of a cluster it is that of all its masters: what one of them has lost is said again to all.
        """
        if not isinstance(self._redis, RedisCluster):
            with store_errors():
                server = await self._redis.info("server")
                replication = await self._redis.info("replication")
            return _identity(server, replication)
        of_masters: dict[str, Any] = {"target_nodes": RedisCluster.PRIMARIES}
        with store_errors():
            servers = await self._redis.info("server", **of_masters)
            replications = await self._redis.info("replication", **of_masters)
        if "run_id" in servers:  # there is one only
            return _identity(servers, replications)
        return " ".join(sorted(_identity(servers[node], replications[node]) for node in servers))


def _identity(server: dict[str, Any], replication: dict[str, Any]) -> str:
    return f"{server['run_id']} {replication.get('master_replid', '')}"
