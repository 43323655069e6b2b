"""Work for a client that may leave."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from starlette.types import Receive

Result = TypeVar("Result")


async def while_connected(receive: Receive, work: Callable[[], Awaitable[Result]]) -> Result | None:
    """Do *work*; None if the client leaves before it is done.

    The body of the request must have been read. Raises what *work* raises.
    """
    failure: Exception | None = None
    result: Result | None = None

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        try:
            result = await work()
        # Raised outside the group, which would wrap it.
        except Exception as exc:  # noqa: BLE001
            failure = exc
        tasks.cancel_scope.cancel()
    if failure is not None:
        try:
            raise failure
        finally:
            # Its traceback holds this frame, and this frame would hold it: a cycle with the whole
            # request in it, megabytes perhaps, until somebody collects garbage.
            del failure
    return result
