"""A Redis that is down, frozen or full costs a request a moment, never more."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.quota.reservation import Reservation
from gateway.store.connection import connect, connect_for_scripts
from gateway.store.errors import StoreUnavailable
from gateway.store.ledger import RedisLedger
from tests.gateway.store.conftest import KID, MODEL, PROJECT, until
from tests.stack.process import free_port
from tests.stack.redis import start_redis

Connect = Callable[..., Any]


async def reserve(ledger: RedisLedger) -> object:
    return await ledger.reserve(
        lease_id="a",
        project_id=PROJECT,
        config_version=1,
        kid=KID,
        model=MODEL,
        input_tokens=1,
        output_tokens=1,
        max_output_tokens=1,
        clampable=False,
    )


# As a cluster is asked, and as everything else is.
both_ways = pytest.mark.parametrize("scripts_of", [connect, connect_for_scripts])


@both_ways
async def test_a_redis_that_is_not_there_is_unavailable_at_once(scripts_of: Connect) -> None:
    async with scripts_of(f"redis://127.0.0.1:{free_port()}", timeout_s=0.05) as scripts:
        told: list[tuple[str, str]] = []
        ledger = RedisLedger(
            scripts,
            lease_ms=120_000,
            observe=lambda operation, result, _: told.append((operation, result)),
        )
        started_at = time.monotonic()
        with pytest.raises(StoreUnavailable, match="ConnectionError"):
            await reserve(ledger)
        assert time.monotonic() - started_at < 1
        assert told == [("reserve", "unavailable")] * 2


@both_ways
async def test_a_frozen_redis_is_unavailable_after_two_time_outs(
    tmp_path: Path, scripts_of: Connect
) -> None:
    port = free_port()
    with start_redis(port, tmp_path) as process:
        url = f"redis://127.0.0.1:{port}"
        async with connect(url) as client, scripts_of(url, timeout_s=0.05) as scripts:
            await client.hset(f"gw:{{{PROJECT}}}:cfg", "ver", "1")
            ledger = RedisLedger(scripts, lease_ms=120_000)
            process.send(signal.SIGSTOP)
            try:
                started_at = time.monotonic()
                with pytest.raises(StoreUnavailable):
                    await reserve(ledger)
                assert time.monotonic() - started_at < 1
            finally:
                process.send(signal.SIGCONT)

            async def is_back() -> bool:
                try:
                    return isinstance(await reserve(ledger), Reservation)
                except StoreUnavailable:
                    return False

            await until(is_back)


@both_ways
async def test_a_redis_without_memory_is_unavailable(tmp_path: Path, scripts_of: Connect) -> None:
    port = free_port()
    with start_redis(port, tmp_path):
        url = f"redis://127.0.0.1:{port}"
        async with connect(url) as client, scripts_of(url, timeout_s=5) as scripts:
            await client.hset(f"gw:{{{PROJECT}}}:cfg", "ver", "1")
            await client.config_set("maxmemory", "1")
            with pytest.raises(StoreUnavailable, match="OutOfMemory|OOM"):
                await reserve(RedisLedger(scripts, lease_ms=120_000))


def test_an_address_that_is_none_of_redis_is_refused() -> None:
    with pytest.raises(ValueError, match="should look like"):
        _ = connect("http://127.0.0.1")
