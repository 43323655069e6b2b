"""Some steps of `make walk`, which takes many: the scripts, and a model of them, agree."""

from __future__ import annotations

import random

import pytest
from redis.asyncio import Redis

from tests.walk.clock import ledger_with_settable_clock
from tests.walk.walk import LEASE_MS, Walk


@pytest.mark.parametrize("seed", range(6))
async def test_redis_does_what_the_model_says(redis: Redis, seed: int) -> None:
    ledger = ledger_with_settable_clock(redis, LEASE_MS)
    await Walk(redis, ledger, random.Random(seed)).run(400)
