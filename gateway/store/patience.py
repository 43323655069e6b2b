"""Give up waiting for Redis after some milliseconds; but not for what is our own fault.

A time-out that is measured by the clock ends calls that were answered long ago, when this
process did not get to run: another one had the processor, or a thread held the interpreter.
So time is counted in ticks of the event loop: however long it stands still, that is one tick,
and what has arrived meanwhile is read before the next.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

import anyio

from gateway.store.errors import StoreUnavailable

TICKS = 4


class Patience:
    """A context manager: raises StoreUnavailable if what is in it takes longer than *seconds*.

    with Patience(0.06):
        await ask()
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._scope = anyio.CancelScope()
        self._ticks_left = TICKS

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._scope.__enter__()
        self._timer = self._loop.call_later(self._seconds / TICKS, self._tick)
        return self

    def _tick(self) -> None:
        self._ticks_left -= 1
        if self._ticks_left:
            self._timer = self._loop.call_later(self._seconds / TICKS, self._tick)
        else:
            self._scope.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._timer.cancel()
        swallowed = self._scope.__exit__(kind, error, traceback)
        if self._scope.cancelled_caught:
            raise StoreUnavailable(f"no answer within {1000 * self._seconds:.0f} ms")
        return swallowed
