"""A stream on which one gateway hears of many generations.

A message costs its CPU in three processes whatever it holds, so what several generations
have to say at about the same time goes in one. Some have been asked for here, too; the
others' own streams stay open beside it: to cancel one of them, the gateway leaves that.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection

from wire.v1 import generation_pb2 as wire
from workers.delivery import Outbox, State
from workers.live import Channel, Farewell, LiveGeneration, Schedule

_log = logging.getLogger(__name__)


class SharedStream:
    """The Route of all that are delivered here. For any thread."""

    def __init__(
        self,
        name: str,
        channel: Channel,
        outbox: Outbox,
        *,
        schedule: Schedule,
        later: Callable[[float, Callable[[], None]], None],
        gather_s: Callable[[int], float],
    ) -> None:
        """Begin with nothing to say but that.

        Args:
            later: calls a function after so many seconds.
            gather_s: with so many generations, for how long what others have to say is
                waited for.
        """
        self.name = name
        self.channel = channel
        self.left = channel.cancelled  # as of a generation
        self._outbox = outbox
        self._schedule = schedule
        self._later = later
        self._gather_s = gather_s
        self._lock = threading.Lock()  # of all below, and the outbox
        self._numbers: dict[LiveGeneration, int] = {}  # of those that have not said all
        self._waiting: dict[LiveGeneration, None] = {}  # that have something to say
        self._urgent = True  # the first message is: the gateway waits for it
        self._gathers = False  # will be called when that is over
        self._scheduled = False

    def join(self, generation: LiveGeneration, number: int) -> bool:
        """Deliver *generation* here from now on; False if it is too late for that."""
        with self._lock:
            if self._outbox.state is not State.OPEN:
                return False
            self._numbers[generation] = number
        generation.route = self
        return True

    @property
    def generations(self) -> list[LiveGeneration]:
        """That are delivered here, and have not said all."""
        with self._lock:
            return list(self._numbers)

    def numbered(self, numbers: Collection[int]) -> list[LiveGeneration]:
        """Those of them that have these numbers."""
        with self._lock:
            return [each for each, number in self._numbers.items() if number in numbers]

    def ended(self) -> bool:
        """Nobody can be delivered here any more."""
        return self._outbox.state is not State.OPEN

    @property
    def over(self) -> bool:
        """The last message has been sent."""
        return self._outbox.state is State.OVER

    def end(self, ending: wire.Finished | wire.Error) -> None:
        """What has something to say now says it; nothing follows. A second end does nothing."""
        with self._lock:
            if self._outbox.state is not State.OPEN:
                return
            self._outbox.end(ending)
            self._urgent = True
        self.wake()

    # --- the senders' side -------------------------------------------------------

    def due(self, generation: LiveGeneration, *, urgent: bool) -> None:
        with self._lock:
            self._waiting[generation] = None
            self._urgent |= urgent
        self.wake()

    def wake(self) -> None:
        """Have a sender come if there is something to say: at once, or in a moment.

        A step of the engine brings tokens for all of them, one after the other.
        """
        gather_s = 0.0
        with self._lock:
            if self._scheduled:
                return
            if not self._urgent and not self._outbox.heartbeat_due(time.monotonic()):
                if self._gathers or not self._waiting:
                    return
                gather_s = self._gather_s(len(self._numbers))
            self._gathers = bool(gather_s)
            self._scheduled = not gather_s
        if gather_s:
            self._later(gather_s, self._gathered)
        else:
            self._schedule(self)

    def _gathered(self) -> None:
        with self._lock:
            self._gathers = False
            if self._scheduled or not self._waiting:
                return
            self._scheduled = True
        self._schedule(self)

    def deliver(self, load: Callable[[], wire.WorkerLoad]) -> None:
        waiting: list[LiveGeneration] = []
        over: list[LiveGeneration] = []  # that say their last word now
        try:
            self._send(waiting, over, load)
        except Exception:  # noqa: BLE001
            # As on a generation's own stream: the gateway's watchdogs notice.
            _log.exception("%s: a message could not be sent", self.name)
        finally:
            with self._lock:
                self._scheduled = False
        for generation in over:
            self._schedule(Farewell(generation.name, generation.channel))
        for generation in waiting:
            generation.wake()  # it may have got more to say meanwhile
        self.wake()

    def _send(
        self,
        waiting: list[LiveGeneration],
        over: list[LiveGeneration],
        load: Callable[[], wire.WorkerLoad],
    ) -> None:
        """*waiting* becomes those that had something to say, *over* those that have said all."""
        shared: list[wire.SharedChunk] = []
        while True:
            with self._lock:
                more, self._waiting = list(self._waiting), {}
                self._urgent = False
            waiting += more
            for generation in more:
                blob, final = generation.take(load)
                if final:
                    over.append(generation)
                if blob is not None:
                    number = self._numbers[generation]
                    shared.append(wire.SharedChunk(number=number, chunk=blob))
            with self._lock:
                if self._waiting and self._outbox.state is State.ENDED:
                    continue  # it would be too late for them after the last message
                for generation in over:
                    del self._numbers[generation]
                message = self._outbox.next_chunk(
                    time.monotonic(), load, shared, anyway=not self._outbox.begun
                )
                final = self._outbox.state is State.OVER
            break
        if message is not None:
            self.channel.send(message.SerializeToString(), final=final)
