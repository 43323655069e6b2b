"""A change counts as made when replicas have it."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis.asyncio import Redis

from gateway.store.connection import connect
from gateway.store.durability import Durability
from gateway.store.errors import StoreUnavailable
from tests.gateway.store.conftest import until
from tests.stack.process import free_port
from tests.stack.redis import start_redis


async def test_who_waits_for_none_waits_for_nothing(redis: Redis) -> None:
    await Durability(redis, replicas=0).wait()


async def test_without_a_replica_a_change_may_be_lost(redis: Redis) -> None:
    with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
        await Durability(redis, replicas=1).wait()


async def test_a_replica_has_all_that_was_written_by_any_connection(
    redis_port: int, tmp_path: Path
) -> None:
    port = free_port()
    options = (
        *("--replicaof", "127.0.0.1", str(redis_port)),
        *("--repl-diskless-sync-delay", "0"),
    )
    master = connect(f"redis://127.0.0.1:{redis_port}/0", timeout_s=5)
    replica = connect(f"redis://127.0.0.1:{port}/0", timeout_s=5)
    with start_redis(port, tmp_path / "replica", *options):
        async with master, replica:

            async def is_in_step() -> bool:
                return bool((await replica.info("replication"))["master_link_status"] == "up")

            await until(is_in_step)
            for number in range(50):
                await master.set("test:durable", str(number))
                await Durability(master, replicas=1).wait()
                assert await replica.get("test:durable") == str(number).encode()
