"""Shared by all tests: a private Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from tests.stack.process import free_port
from tests.stack.redis import start_redis


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    with start_redis(port, tmp_path_factory.mktemp("redis")):
        yield port


@pytest.fixture
async def redis(redis_port: int) -> AsyncIterator[Redis]:
    """A client of a Redis that is empty."""
    async with Redis(host="127.0.0.1", port=redis_port) as client:
        await client.flushall()
        yield client
