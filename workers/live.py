"""One generation that is being served: between the engine's loop and the senders.

The engine's loop puts tokens in, sender threads take chunks out, the watch looks
for cancellation. At most one sender holds a generation at a time, so that chunks
leave in the order of their seq.
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
from workers.delivery import Outbox, State
from workers.engine import TokenLogprob

_log = logging.getLogger(__name__)


class Channel(Protocol):
    """The way back to one gateway. Methods may block for a round trip, and may raise."""

    def send(self, blob: bytes, *, final: bool) -> None:
        """Send one serialised GenerateChunk. Nothing after *final*."""

    def cancelled(self) -> bool:
        """Has the gateway cancelled? False once the final chunk is sent."""


@dataclass(slots=True)
class Tally:
    """Tokens since the start of the process. Written on the engine's loop only."""

    prompt: int = 0  # cached ones included
    cached: int = 0
    completion: int = 0


class LiveGeneration:
    """A Sink for the engine, and a source of chunks for the senders."""

    def __init__(
        self,
        request_id: str,
        channel: Channel,
        outbox: Outbox,
        *,
        prompt_tokens: int,
        tally: Tally,
        schedule: Callable[[LiveGeneration], None],
        interval_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """*schedule* makes a sender call deliver() soon; *interval_s*: from one chunk to the next."""
        self.request_id = request_id
        self.channel = channel
        self.task: asyncio.Task[wire.Finished | wire.Error] | None = None  # once it is begun
        self._outbox = outbox
        self._prompt_tokens = prompt_tokens
        self._tally = tally
        self._schedule = schedule
        self._interval_s = interval_s
        self._lock = threading.Lock()  # of the two below
        self._scheduled = False

    # --- the engine's side ---------------------------------------------------

    def started(self, cached_tokens: int) -> None:
        self._tally.prompt += self._prompt_tokens
        self._tally.cached += cached_tokens
        with self._lock:
            self._outbox.start(cached_tokens, time.monotonic())

    def tokens(self, token_ids: Sequence[int], logprobs: Sequence[TokenLogprob] = ()) -> None:
        self._tally.completion += len(token_ids)
        with self._lock:
            self._outbox.add(token_ids, logprobs)
        self.wake()

    def silence(self) -> None:
        with self._lock:
            self._outbox.silence()

    def end(self, ending: wire.Finished | wire.Error) -> None:
        with self._lock:
            self._outbox.end(ending)
        self.wake()

    # --- the senders' side ---------------------------------------------------

    def wake(self) -> None:
        """Have a sender look, if it is time to say something or a heartbeat is due.

        What is held back goes with the next token that comes, or when the watch looks around.
        """
        interval_s = self._interval_s()
        with self._lock:
            now = time.monotonic()
            due = self._outbox.chunk_due(now, interval_s) or self._outbox.heartbeat_due(now)
            if not due or self._scheduled:
                return
            self._scheduled = True
        self._schedule(self)

    def deliver(self, load: Callable[[], wire.WorkerLoad]) -> None:
        """Send one chunk, if there is anything to say."""
        with self._lock:
            chunk = self._outbox.next_chunk(time.monotonic(), load)
            final = self._outbox.state is State.OVER
        try:
            if chunk is not None:
                self.channel.send(chunk.SerializeToString(), final=final)
        except Exception:  # noqa: BLE001
            # Triton's exceptions have no common class. The gateway's watchdog
            # ends a generation that it no longer hears of.
            _log.exception("%s: chunk could not be sent", self.request_id)
        finally:
            # Only now may another sender have it, or chunks could overtake
            # each other.
            with self._lock:
                self._scheduled = False
        self.wake()
