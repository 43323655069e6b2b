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
from gateway.store.pipe import Pipe

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
    options = _options(timeout_s)
    if _is_cluster(url):
        return _cluster(url, options, max_connections, ca_file)
    return Redis.from_pool(_pool(url, options, timeout_s, max_connections, ca_file))


def connect_for_scripts(
    url: str, *, timeout_s: float = TIMEOUT_S, ca_file: Path | None = None
) -> Pipe | Store:
    """For what requests wait for: a `Pipe`, or for a cluster a client. An async context manager.

    Arguments as above. Raises ValueError.
    """
    if _is_cluster(url):
        return connect(url, timeout_s=timeout_s, ca_file=ca_file)
    pool = _pool(url, _options(timeout_s), timeout_s, 1, ca_file)
    return Pipe(pool.make_connection, timeout_s=timeout_s)


def _options(timeout_s: float) -> dict[str, Any]:
    return {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "client_name": "llm-gateway",
    }


def _is_cluster(url: str) -> bool:
    return not is_one_server(url) and read_address(url).kind == "cluster"


def _pool(
    url: str,
    options: dict[str, Any],
    timeout_s: float,
    max_connections: int,
    ca_file: Path | None,
) -> BlockingConnectionPool:
    """Of connections to one server, whichever it is at the moment."""
    if is_one_server(url):
        trusted = _trusted(ca_file) if url.startswith("rediss:") else {}
        return BlockingConnectionPool.from_url(
            url, max_connections=max_connections, timeout=timeout_s, **options, **trusted
        )
    address = read_address(url)
    of_sentinels = options | _identity(address, ca_file)
    of_sentinels["username"] = address.sentinel_username
    of_sentinels["password"] = address.sentinel_password
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        list(address.hosts), sentinel_kwargs=of_sentinels
    )
    return _BlockingSentinelPool(  # type: ignore[no-untyped-call]
        address.service,
        sentinel,
        db=address.database,
        max_connections=max_connections,
        timeout=timeout_s,
        **options,
        **_identity(address, ca_file),
    )


def _cluster(
    url: str, options: dict[str, Any], max_connections: int, ca_file: Path | None
) -> Store:
    address = read_address(url)
    nodes = [ClusterNode(host, port) for host, port in address.hosts]
    client = RedisCluster(
        startup_nodes=nodes,
        max_connections=max_connections,
        # One that is away makes its own projects wait, not all of them.
        require_full_coverage=False,
        **options,
        **_identity(address, ca_file),
    )
    return cast("Store", client)


def _identity(address: StoreAddress, ca_file: Path | None) -> dict[str, Any]:
    """Who we are, and whom we trust."""
    tls = {"ssl": True, **_trusted(ca_file)} if address.tls else {}
    return {"username": address.username, "password": address.password, **tls}


def _trusted(ca_file: Path | None) -> dict[str, str]:
    return {} if ca_file is None else {"ssl_ca_certs": str(ca_file)}


class _BlockingSentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Asks the sentinels who is master for every new connection, and waits for a free one.

    After a failover the old master closes its connections, or answers that it is read-only now:
    both end a connection, and the next one leads to the new master.
    """
