"""How many generations a worker runs at once, learned from what it says of itself. Pure.

What is sent beyond that waits there, in the order of arrival; it had better wait here, in
the order of `scheduling`, for whichever worker has a place first.

A worker says how many places its batch has. How many generations its KV cache has room for,
it does not know itself, for that depends on their lengths: but when some have to wait
though there are places left, those that run are as many as fit.

Times are seconds of a monotonic clock.
"""

from __future__ import annotations

from wire.v1.generation_pb2 import WorkerLoad

# So long must generations wait before they are called a queue: an engine takes up what
# has arrived between two of its steps.
LASTING_S = 0.5
# A sixteenth more or less is noise; and so much more is tried when nobody waits.
TOLERANCE = 16
# What a worker said is no news for longer: it is probed every 2 s.
NEWS_S = 5.0
# A worker that does not say how many places it has.
UNSAID = 1_000_000


class Window:
    """One worker's places, as one gateway sees them."""

    def __init__(self) -> None:
        self._size = UNSAID
        self._others = 0  # generations of other gateways
        self._queued_since: float | None = None  # and no more have begun to run since
        self._ran_then = 0
        self._heard_at = float("-inf")

    def heard(self, load: WorkerLoad, *, ours: int, now: float) -> None:
        """The worker said its *load* while it had *ours* generations of this gateway."""
        self._heard_at = now
        self._others = max(0, load.running + load.queued - ours)
        if load.queued > max(1, load.running // TOLERANCE):
            if self._queued_since is None or load.running > self._ran_then:
                # One that is still taking up what has come is not full, however long it takes.
                self._queued_since, self._ran_then = now, load.running
            if now - self._queued_since >= LASTING_S:
                self._size = max(1, load.running)
        else:
            self._queued_since = None
            one_step_more = load.running + max(1, load.running // TOLERANCE)
            self._size = max(self._size, one_step_more)
        self._size = min(self._size, load.max_running or UNSAID)

    def size(self) -> int:
        """How many generations of all gateways run at once."""
        return self._size

    def free(self, ours: int, now: float) -> int:
        """How many more would run at once; below 0, so many wait."""
        others = self._others if self._is_news(now) else 0
        return self._size - others - ours

    def full(self, ours: int, now: float) -> bool:
        """Whether one more would wait, by more than what the others' leaving makes good.

        A little beyond its size: a conversation had better wait a moment for the worker that
        has its prefix than have it computed anew by another.
        """
        queues = self._queued_since is not None and self._is_news(now)
        return queues or self.free(ours, now) <= -(self._size // TOLERANCE // 2)

    def _is_news(self, now: float) -> bool:
        return now - self._heard_at < NEWS_S
