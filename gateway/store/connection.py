"""The client of Redis: short time-outs, no retries behind our back, a bounded pool.

redis-py's defaults are made for scripts: with them a call to a frozen server
blocks for 59 s, and re-sent increments count 1.13 % too much over a link that
loses 1 % of the replies (both measured). Whoever may say something again does
so itself, knowing that it is idempotent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias, cast

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff

from gateway.store.address import StoreAddress, is_one_server, read_address

# Redis answers our scripts in well under 1 ms; what remains is for a busy event
# loop, whose own stalls count against the time-out as well. Who waits for less says so
# (`patience.py`).
TIMEOUT_S = 0.2
MAX_CONNECTIONS = 64

# What other layers call the client: they open it, hand it on and close it. A cluster's is
# another class with the same commands.
Store: TypeAlias = Redis


def connect(
    url: str,
    *,
    timeout_s: float = TIMEOUT_S,
    max_connections: int = MAX_CONNECTIONS,
    ca_file: Path | None = None,
) -> Store:
    """A client for *url* (`address.py`); nothing is sent yet. Close it with `aclose()`.

    *timeout_s* bounds waiting for a connection, connecting, and each answer. *ca_file*: PEM,
    whom to trust with TLS, instead of the machine's authorities.
    Raises ValueError if *url* is not one of Redis.
    """
    common: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "client_name": "llm-gateway",
    }
    trusted = {} if ca_file is None else {"ssl_ca_certs": str(ca_file)}
    if is_one_server(url):
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=max_connections,
            timeout=timeout_s,
            **common,
            **(trusted if url.startswith("rediss:") else {}),
        )
        return Redis.from_pool(pool)
    address = read_address(url)
    common |= {"username": address.username, "password": address.password}
    if address.tls:
        common |= {"ssl": True, **trusted}
    if address.kind == "cluster":
        return _cluster(address, common, max_connections)
    return _sentinel(address, common, max_connections, timeout_s)


def _cluster(address: StoreAddress, common: dict[str, Any], max_connections: int) -> Store:
    nodes = [ClusterNode(host, port) for host, port in address.hosts]
    client = RedisCluster(
        startup_nodes=nodes,
        max_connections=max_connections,
        # One that is away makes its own projects wait, not all of them.
        require_full_coverage=False,
        **common,
    )
    return cast("Store", client)


def _sentinel(
    address: StoreAddress, common: dict[str, Any], max_connections: int, timeout_s: float
) -> Store:
    own = {
        "username": address.sentinel_username,
        "password": address.sentinel_password,
    }
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        list(address.hosts), sentinel_kwargs={**common, **own}
    )
    pool = _BlockingSentinelPool(  # type: ignore[no-untyped-call]
        address.service,
        sentinel,
        db=address.database,
        max_connections=max_connections,
        timeout=timeout_s,
        **common,
    )
    return Redis.from_pool(pool)


class _BlockingSentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Asks the sentinels who is master for every new connection, and waits for a free one.

    After a failover the old master closes its connections, or answers that it is read-only now:
    both end a connection, and the next one leads to the new master.
    """
