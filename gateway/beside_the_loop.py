"""Work that takes long is done beside the event loop, and no project takes all the threads.

What keeps the loop for 20 ms keeps every stream for 20 ms. In a thread, Python
code shares the interpreter (`__main__` says how often they take turns), and
tiktoken does not need it at all. Chosen not to use: processes, which would copy
each prompt twice more.

- A project has one thread at a time: whoever sends four prompts of 10 MB waits
  for them himself.
- Who waits can be cancelled, and has then lost its place; who runs, runs to its end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from weakref import WeakValueDictionary

import anyio
import anyio.to_thread

# More would but take the interpreter from each other.
MAX_THREADS = 3

Result = TypeVar("Result")


class BesideTheLoop:
    """The threads for long work; one for the whole process."""

    def __init__(self) -> None:
        self._threads = anyio.CapacityLimiter(MAX_THREADS)
        # A lock lives as long as somebody holds it or waits for it.
        self._turns: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()

    async def run(self, project_id: str, work: Callable[[], Result]) -> Result:
        """What *work* returns or raises, in a thread, when it is the project's turn."""
        turn = self._turns.setdefault(project_id, anyio.Lock())
        async with turn:
            done = await anyio.to_thread.run_sync(_done, work, limiter=self._threads)
        if isinstance(done, _Failed):
            try:
                raise done.error
            finally:
                del done  # or it and this frame hold each other
        return done


@dataclass(frozen=True, slots=True)
class _Failed:
    error: Exception


def _done(work: Callable[[], Result]) -> Result | _Failed:
    """An exception is handed over, not raised through anyio, where it would become a cycle of
    frames with the megabytes in them that the work was about."""
    try:
        return work()
    except Exception as exc:  # noqa: BLE001
        return _Failed(exc)
