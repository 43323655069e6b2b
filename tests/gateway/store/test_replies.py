"""An answer belongs to the call that asked for it, however many calls are cancelled in between."""

from __future__ import annotations

import os
import random

import anyio
from redis.asyncio import Redis

from gateway.store.connection import connect

CALLS = int(os.environ.get("CANCELLED_CALLS", "6000"))
AT_ONCE = 50


async def test_cancelled_calls_leave_no_answer_for_others(redis: Redis, redis_port: int) -> None:
    draw = random.Random(5)
    for number in range(AT_ONCE):
        await redis.set(f"own:{number}", str(number))
    heard = cancelled = 0
    store = connect(f"redis://127.0.0.1:{redis_port}/0", timeout_s=5, max_connections=8)

    async def client(number: int) -> None:
        nonlocal heard, cancelled
        for _ in range(CALLS // AT_ONCE):
            with anyio.move_on_after(draw.random() * 0.01) as scope:
                answer = await store.get(f"own:{number}")
                assert answer == str(number).encode()
                heard += 1
            cancelled += scope.cancelled_caught

    async with store:
        async with anyio.create_task_group() as tasks:
            for number in range(AT_ONCE):
                tasks.start_soon(client, number)
        for number in range(AT_ONCE):
            assert await store.get(f"own:{number}") == str(number).encode()
    assert heard > CALLS / 20
    assert cancelled > CALLS / 20
