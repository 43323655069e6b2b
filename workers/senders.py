"""The threads that bring chunks to Triton.

One send blocks for 80 to 300 us, with the GIL released: it must not happen on the
engine's loop, and a few threads overlap.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from wire.v1 import generation_pb2 as wire
from workers.live import Deliverable


class Senders:
    """A pool of threads over one queue of those that have something to say."""

    def __init__(self, count: int, load: Callable[[], wire.WorkerLoad]) -> None:
        """*load* is called from the threads."""
        self._load = load
        self._ready: queue.SimpleQueue[Deliverable | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"sender-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def schedule(self, one: Deliverable) -> None:
        """Have *one* deliver soon. From any thread; never blocks."""
        self._ready.put(one)

    def close(self) -> None:
        """Deliver what is scheduled, then end the threads."""
        for _ in self._threads:
            self._ready.put(None)
        for thread in self._threads:
            thread.join()
        # What ended while its sender was sending comes back behind the Nones.
        while not self._ready.empty():
            if (one := self._ready.get()) is not None:
                one.deliver(self._load)

    def _work(self) -> None:
        while (one := self._ready.get()) is not None:
            one.deliver(self._load)
