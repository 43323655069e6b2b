"""One generation that is being served: between the engine's loop and the senders.

The engine's loop puts tokens in, a Route takes chunks out, the watch looks for
cancellation. At most one sender holds a route at a time, so that chunks leave in
the order of their seq.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from wire.v1 import generation_pb2 as wire
from workers import codec
from workers.delivery import Outbox, State
from workers.engine import TokenLogprob

_log = logging.getLogger(__name__)


class Channel(Protocol):
    """The way back to one gateway. Methods may block for a round trip, and may raise."""

    def send(self, blob: bytes, *, final: bool) -> None:
        """Send one serialised GenerateChunk. Nothing after *final*."""

    def end(self) -> None:
        """End the stream without a word; nothing after that."""

    def cancelled(self) -> bool:
        """Has the gateway cancelled? False once the stream is ended."""


class Deliverable(Protocol):
    """Something that has something to say to a gateway."""

    def deliver(self, load: Callable[[], wire.WorkerLoad]) -> None:
        """Send what is to be said, if anything. Blocks; must not raise."""


Schedule = Callable[[Deliverable], None]  # makes a sender call deliver() soon


class Route(Protocol):
    """Where the chunks of a generation go."""

    def due(self, generation: LiveGeneration, *, urgent: bool) -> None:
        """*generation* has something to say, and it is time; at once if it is *urgent*."""


@dataclass(slots=True)
class Tally:
    """Tokens since the start of the process. Written on the engine's loop only."""

    prompt: int = 0  # cached ones included
    cached: int = 0
    completion: int = 0


class LiveGeneration:
    """A Sink for the engine, and a source of chunks for its route."""

    def __init__(
        self,
        request_id: str,
        channel: Channel,
        outbox: Outbox,
        route: Route,
        *,
        prompt_tokens: int,
        tally: Tally,
        interval_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """*channel*: of its request; *interval_s*: from one chunk to the next."""
        self.name = request_id
        self.channel = channel
        # Does nobody hear it any more? May block for a round trip, and may raise.
        self.left: Callable[[], bool] = channel.cancelled
        self.route = route  # may be changed until something is said
        self.task: asyncio.Task[wire.Finished | wire.Error] | None = None  # once it is begun
        self._outbox = outbox
        self._prompt_tokens = prompt_tokens
        self._tally = tally
        self._interval_s = interval_s
        self._lock = threading.Lock()  # of the two below
        # The engine has said what cannot be passed on, and need not go on.
        self.broken = False

    # --- the engine's side ---------------------------------------------------

    def started(self, cached_tokens: int) -> None:
        self._tally.prompt += self._prompt_tokens
        self._tally.cached += cached_tokens
        with self._lock:
            if not self.broken:
                self._outbox.start(cached_tokens, time.monotonic())

    def tokens(self, token_ids: Sequence[int], logprobs: Sequence[TokenLogprob] = ()) -> None:
        self._tally.completion += len(token_ids)
        with self._lock:
            if self.broken:
                return
            self._outbox.add(token_ids, time.monotonic(), logprobs)
        self.wake()

    def silence(self) -> None:
        with self._lock:
            self._outbox.silence()

    def end(self, ending: wire.Finished | wire.Error) -> None:
        with self._lock:
            if self.broken:
                return
            self._outbox.end(ending)
        self.wake()

    # --- the senders' side ---------------------------------------------------

    def wake(self) -> None:
        """Tell the route if it is time to say something, or a heartbeat is due.

        What is held back goes with the next token that comes, or when the watch looks around.
        """
        interval_s = self._interval_s()
        with self._lock:
            now = time.monotonic()
            due = self._outbox.chunk_due(now, interval_s) or self._outbox.heartbeat_due(now)
            urgent = self._outbox.urgent
        if due:
            self.route.due(self, urgent=urgent)

    def take(self, load: Callable[[], wire.WorkerLoad]) -> tuple[bytes | None, bool]:
        """The next chunk, serialised, if there is anything to say; and whether it is the last."""
        with self._lock:
            now = time.monotonic()
            try:
                chunk = self._outbox.next_chunk(now, load)
            except Exception as exc:  # noqa: BLE001 - an engine may say anything: no token, say
                _log.exception("%s: what the engine says cannot be passed on", self.name)
                self.broken = True
                error = codec.error(wire.Error.ENGINE_FAILED, repr(exc))
                chunk = self._outbox.give_up(error, now, load)
            final = self._outbox.state is State.OVER
        return (None, False) if chunk is None else (chunk.SerializeToString(), final)


class OwnStream:
    """The route of one generation alone: the stream on which it was asked for."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._lock = threading.Lock()  # of the one below
        self._generation: LiveGeneration | None = None  # while a sender has, or will have, us

    def due(self, generation: LiveGeneration, *, urgent: bool) -> None:
        with self._lock:
            if self._generation is not None:
                return
            self._generation = generation
        self._schedule(self)

    def deliver(self, load: Callable[[], wire.WorkerLoad]) -> None:
        generation = self._generation
        assert generation is not None
        try:
            blob, final = generation.take(load)
            if blob is not None:
                generation.channel.send(blob, final=final)
        except Exception:  # noqa: BLE001
            # Triton's exceptions have no common class. The gateway's watchdog
            # ends a generation that it no longer hears of.
            _log.exception("%s: chunk could not be sent", generation.name)
        finally:
            # Only now may another sender have it, or chunks could overtake
            # each other.
            with self._lock:
                self._generation = None
        generation.wake()


class Farewell:
    """The end of a request to which nothing more is said, on its own channel at least."""

    def __init__(self, name: str, channel: Channel) -> None:
        self._name = name
        self._channel = channel

    def deliver(self, load: Callable[[], wire.WorkerLoad]) -> None:
        try:
            self._channel.end()
        except Exception:  # noqa: BLE001 - as above
            _log.exception("%s: it could not be ended", self._name)
