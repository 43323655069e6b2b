"""Whether a generation on a worker shares a stream with others, and which.

While there are few, each has its own alone: sharing costs a second stream. And a worker that
nobody uses should hold none, for a Triton that is told to stop waits for all of them.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

from anyio.abc import TaskGroup

from gateway.upstream.codec import encode_shared_stream
from gateway.upstream.kserve import ModelInferRequest
from gateway.upstream.shared_stream import Seat, SharedStream

# From so many generations of ours on; fewer would save less than it costs.
SHARE_FROM = 8
# A worker that would not share, or whose shared stream broke, is asked again after so long: it
# may be a newer one by then.
ASK_AGAIN_S = 30.0


class Sharing:
    """The shared streams of one worker: one that takes generations, and retired ones.

    Args:
        stream_infer: begins a call.
        tasks: in which streams are read, if there is such a group now. Without one nothing
            is shared.
    """

    def __init__(
        self,
        stream_infer: Callable[[ModelInferRequest], Any],
        *,
        model_name: str,
        tasks: Callable[[], TaskGroup | None],
    ) -> None:
        self._tasks = tasks
        self._stream_infer = stream_infer
        self._model_name = model_name
        self._newest: SharedStream | None = None
        self._was_empty = False  # when it was last looked at

    def take_seat(self, in_flight: int) -> Seat | None:
        """Where the chunks of one more generation can be had, if not on its own stream.

        *in_flight*: generations on the worker, this one included. None while they are few, and
        for a while from a worker with which it did not work, perhaps an older one.
        """
        tasks = self._tasks()
        if tasks is None or in_flight < SHARE_FROM:
            return None
        if self._may_ask():
            self._open(tasks)
        if self._newest is None or not self._newest.takes:
            return None
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
        if self._was_empty and self._newest.empty:
            self._newest.retire()
        self._was_empty = self._newest.empty

    def _may_ask(self) -> bool:
        last = self._newest
        if last is None:
            return True
        if last.failed_at is not None:
            return asyncio.get_running_loop().time() > last.failed_at + ASK_AGAIN_S
        return not last.takes

    def _open(self, tasks: TaskGroup) -> None:
        name = str(uuid.uuid4())
        request = encode_shared_stream(name, model_name=self._model_name)
        self._newest = SharedStream(name, self._stream_infer(request))
        self._was_empty = False
        tasks.start_soon(self._newest.run)
