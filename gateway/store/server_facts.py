"""How Redis itself does, for who watches: memory, evictions, replicas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis, RedisCluster

from gateway.store.errors import store_errors


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """Of one server; of a cluster all primaries together."""

    used_memory_bytes: int = 0
    max_memory_bytes: int = 0  # 0: no limit
    evicted_keys: int = 0  # since the server started; each may be a charge that is forgotten
    connected_replicas: int = 0  # of the primary that has fewest


async def server_facts(redis: Redis) -> ServerFacts:
    """Raises StoreUnavailable."""
    with store_errors():
        if isinstance(redis, RedisCluster):
            told: Mapping[str, Any] = await redis.info(target_nodes=RedisCluster.PRIMARIES)
            return read_facts(list(told.values()))
        return read_facts([await redis.info()])


def read_facts(infos: list[Mapping[str, Any]]) -> ServerFacts:
    """Of what `INFO` says, a server each. Fields that are missing count for nothing."""

    def of(name: str) -> list[int]:
        return [int(info.get(name, 0)) for info in infos]

    limits = of("maxmemory")
    return ServerFacts(
        used_memory_bytes=sum(of("used_memory")),
        max_memory_bytes=sum(limits) if all(limits) else 0,
        evicted_keys=sum(of("evicted_keys")),
        connected_replicas=min(of("connected_slaves"), default=0),
    )
