"""Shared by all tests: a private Redis, and the whole product."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import HealthCheck, settings
from redis.asyncio import Redis

from tests.stack.process import free_port
from tests.stack.product import Product, running_product
from tests.stack.redis import start_redis

# How fast a busy machine is says nothing about the product.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "hostile",  # make test-hostile
    parent=settings.get_profile("tests"),
    max_examples=int(os.environ.get("HOSTILE_EXAMPLES", "300")),
    database=None,
)
settings.load_profile("tests")


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


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """Redis, Triton and the gateway, as processes; for tests that leave them running."""
    with running_product(tmp_path_factory.mktemp("product")) as running:
        yield running
