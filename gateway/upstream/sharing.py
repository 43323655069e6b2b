"""Whether a generation on a worker shares a stream with others, and which.

While there are few, each has its own: the shared one has to pay first. And a worker that
nobody uses should hold none, for a Triton that is told to stop waits for all of them.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

from anyio.abc import TaskGroup

from gateway.upstream.shared_stream import Seat, SharedStream

# From so many generations of ours at once there is a shared stream, which then takes all of them.
SHARE_FROM = 4
# A worker that would not share, or whose shared stream broke, is asked again after so long: it
# may be a newer one by then.
ASK_AGAIN_S = 30.0


class Sharing:
    """The shared streams of one worker: one that takes generations, and retired ones.

    Args:
        stream_infer: begins a call, of which requests are written.
        tasks: in which streams are read, if there is such a group now. Without one nothing
            is shared.
    """

    def __init__(
        self,
        stream_infer: Callable[[], Any],
        *,
        model_name: str,
        tasks: Callable[[], TaskGroup | None],
    ) -> None:
        self.takes_requests = False  # the worker, on them; as far as is known
        self._tasks = tasks
        self._stream_infer = stream_infer
        self._model_name = model_name
        self._newest: SharedStream | None = None
        self._used = False  # since it was last looked at

    def take_seat(self, in_flight: int, *, asks_there: bool) -> Seat | None:
        """Where the chunks of one more generation can be had, if not on its own stream.

        None while there are few, and for a while from a worker with which it did not work,
        perhaps an older one.

        Args:
            in_flight: generations on the worker, this one included.
            asks_there: it would be asked for there, too. Then it is welcome while the stream
                is open, though there be few.
        """
        tasks = self._tasks()
        if tasks is None:
            return None
        if self._newest is not None and self._newest.takes and self._newest.full:
            self._newest.retire()
            self._open(tasks)
        elif in_flight >= SHARE_FROM:
            if self._may_ask():
                self._open(tasks)
        elif not (asks_there and self._newest is not None and self._newest.takes_requests):
            return None
        if self._newest is None or not self._newest.takes:
            return None
        self._used = True
        return self._newest.seat()

    def start(self, read: Callable[[Seat], Coroutine[Any, Any, None]], seat: Seat) -> None:
        """Run *read*, which reads a generation's own stream, beside what reads the shared one."""
        tasks = self._tasks()
        assert tasks is not None  # or take_seat() had none
        tasks.start_soon(read, seat)

    def tidy(self) -> None:
        """Leave a stream that nobody has used since the last call."""
        if self._newest is None:
            return
        if self._newest.empty and not self._used:
            self._newest.retire()
        self._used = False

    def _may_ask(self) -> bool:
        last = self._newest
        if last is None:
            return True
        if last.failed_at is not None:
            return asyncio.get_running_loop().time() > last.failed_at + ASK_AGAIN_S
        return not last.takes

    def _open(self, tasks: TaskGroup) -> None:
        self._newest = SharedStream(
            str(uuid.uuid4()),
            self._stream_infer(),
            model_name=self._model_name,
            takes_requests=self.takes_requests,
        )
        tasks.start_soon(self._newest.run)
