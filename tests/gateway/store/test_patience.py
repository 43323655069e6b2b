"""Waiting for Redis ends after a while; what was read late is not lost for it."""

from __future__ import annotations

import asyncio
import time

import anyio
import anyio.lowlevel
import pytest

from gateway.store.errors import StoreUnavailable
from gateway.store.guard import StoreGuard
from gateway.store.patience import Patience


async def test_what_takes_too_long_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable, match="no answer within 10 ms"), Patience(0.01):
        await anyio.sleep_forever()


async def test_what_is_in_time_goes_on_undisturbed() -> None:
    with Patience(60):
        await anyio.lowlevel.checkpoint()
    with pytest.raises(KeyError), Patience(60):
        raise KeyError


async def test_an_outer_cancellation_is_none_of_ours() -> None:
    with anyio.move_on_after(0.01) as scope:
        with Patience(60):
            await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_time_in_which_we_did_not_run_is_not_redis_fault() -> None:
    """An answer arrives while the loop stands still for longer than we would wait."""
    here, there, reader = await _pipe()

    def answer_and_stand_still() -> None:
        here.write(b"x")
        time.sleep(0.3)

    asyncio.get_running_loop().call_soon(answer_and_stand_still)
    with Patience(0.05):
        assert await reader.read(1) == b"x"
    for writer in (here, there):
        writer.close()
        await writer.wait_closed()


async def _pipe() -> tuple[asyncio.StreamWriter, asyncio.StreamWriter, asyncio.StreamReader]:
    """Both ends of a connection, and what arrives at the second."""
    accepted: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
    accepted = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(
        lambda reader, writer: accepted.set_result((reader, writer)), "127.0.0.1", 0
    )
    _, here = await asyncio.open_connection(*server.sockets[0].getsockname())
    reader, there = await accepted
    server.close()
    return here, there, reader


class Ping:
    answer: str | None = "away"

    async def why_not(self) -> str | None:
        return self.answer


async def test_an_open_guard_asks_nobody_until_probes_are_answered() -> None:
    ping, modes = Ping(), list[int]()
    guard = StoreGuard(ping, on_mode=modes.append)
    for _ in range(5):
        with pytest.raises(StoreUnavailable), guard.call():
            raise StoreUnavailable("no")
    assert guard.is_open
    with pytest.raises(StoreUnavailable, match="nobody asks it"), guard.call():
        raise AssertionError("asked")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(guard.run)
        ping.answer = None
        while guard.is_open:  # noqa: ASYNC110
            await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    with guard.call(1):
        pass
    assert modes == [2, 1, 1, 0]
