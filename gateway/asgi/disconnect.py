"""Work for a client that may leave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from starlette.types import Receive

Result = TypeVar("Result")


async def while_connected(receive: Receive, work: Callable[[], Awaitable[Result]]) -> Result | None:
    """Do *work*; None if the client leaves before it is done.

    The body of the request must have been read. Raises what *work* raises.
    """
    with anyio.CancelScope() as scope:
        # Not in a task group, which costs a request three times as much. It is ended below,
        # and nobody has to wait for that: it has nothing to put in order.
        watching = asyncio.get_running_loop().create_task(_watch(receive, scope))
        try:
            return await work()
        finally:
            watching.cancel()
    return None


async def _watch(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
