"""What one generation has yet to say to its gateway. Pure: time is an argument.

The engine adds; a sender takes. A chunk holds everything that came since the last
one, and the more generations are live, the longer they wait for their next chunk: the
load on Triton, which counts messages and not bytes, stays what it can bear.

    OPEN --end()--> ENDED --next_chunk()--> OVER
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence

from wire.v1 import generation_pb2 as wire
from workers import codec
from workers.engine import TokenLogprob

# Tokens are held back for so long at most: a reader sees no difference.
LONGEST_INTERVAL_S = 0.1


# As long as a step of the engine: what one step brings goes together.
LONGEST_GATHERING_S = 0.01


def chunk_interval_s(generations: int, chunks_per_second: int) -> float:
    """How long a generation waits from one chunk to the next, while so many are live.

    All together send no more than *chunks_per_second*: a message costs its CPU, on the way
    through three processes, whatever it holds. 0 = no such limit.
    """
    if not chunks_per_second:
        return 0.0
    return min(generations / chunks_per_second, LONGEST_INTERVAL_S)


def gathering_s(generations: int, chunks_per_second: int) -> float:
    """How long a shared stream of so many waits for others, once one has something to say."""
    return min(chunk_interval_s(generations, chunks_per_second), LONGEST_GATHERING_S)


class State(enum.Enum):
    OPEN = "open"
    ENDED = "ended"  # the last chunk is known, but not taken yet
    OVER = "over"


class Outbox:
    """The unsent part of one generation. Not thread-safe."""

    def __init__(
        self, *, engine: str, arrived_at: float, heartbeat_s: float, generated_tokens: int = 0
    ) -> None:
        """Begin with nothing to say.

        Args:
            arrived_at: seconds of the monotonic clock, as all times here.
            generated_tokens: behind so many the engine goes on.
        """
        self._engine = engine
        self._arrived_at = arrived_at
        self._heartbeat_s = heartbeat_s
        self._generated_tokens = generated_tokens
        self._state = State.OPEN
        self._seq = 0
        self._spoke_at = arrived_at
        self._silenced = False
        self._is_mute = True  # no token has been sent
        self._first_token_at: float | None = None
        # Nobody reads along: from one chunk to the next, and to the first, it may be so long.
        self.patience_s = 0.0
        self._cached_tokens = 0
        self._started_at: float | None = None
        self._token_ids: list[int] = []
        self._logprobs: list[TokenLogprob] = []  # one for each of them, or none at all
        self._completion_tokens = 0
        self._ending: wire.Finished | wire.Error | None = None

    def start(self, cached_tokens: int, now: float) -> None:
        """The engine begins. No news by itself: it travels with the first tokens."""
        assert self._state is State.OPEN and self._started_at is None
        self._cached_tokens = cached_tokens
        self._started_at = now

    def add(
        self, token_ids: Sequence[int], now: float, logprobs: Sequence[TokenLogprob] = ()
    ) -> None:
        assert self._state is State.OPEN and self._started_at is not None
        if self._first_token_at is None and token_ids:
            self._first_token_at = now
        assert len(logprobs) in (0, len(token_ids))
        self._token_ids.extend(token_ids)
        self._logprobs.extend(logprobs)
        assert len(self._logprobs) in (0, len(self._token_ids))
        self._completion_tokens += len(token_ids)

    def end(self, ending: wire.Finished | wire.Error) -> None:
        """Nothing follows. The counts of a Finished are filled in here."""
        assert self._state is State.OPEN
        self._state = State.ENDED
        self._ending = ending

    def give_up(
        self, error: wire.Error, now: float, load: Callable[[], wire.WorkerLoad]
    ) -> wire.GenerateChunk:
        """The last chunk, with *error* instead of what there was, which cannot be said."""
        self._token_ids = []
        self._logprobs = []
        self._ending = error
        self._state = State.OVER
        started = self._started(now) if self._seq == 0 else None
        return wire.GenerateChunk(seq=self._seq, error=error, started=started, load=load())

    def silence(self) -> None:
        """No more heartbeats."""
        self._silenced = True

    @property
    def state(self) -> State:
        return self._state

    @property
    def begun(self) -> bool:
        """A chunk has been taken."""
        return self._seq > 0

    @property
    def has_news(self) -> bool:
        """Is there something to send besides a heartbeat?"""
        return self._state is State.ENDED or bool(self._token_ids)

    @property
    def urgent(self) -> bool:
        """The last word never waits, and the first one only if nobody reads along."""
        is_first = self._is_mute and self.has_news
        return self._state is State.ENDED or (is_first and not self.patience_s)

    def chunk_due(self, now: float, interval_s: float) -> bool:
        """Whether there is something to send, and it is time.

        *interval_s*: from one chunk to the next, if who hears it is not more patient.
        """
        interval_s = max(interval_s, self.patience_s)
        return self.urgent or (self.has_news and now - self._held_since() >= interval_s)

    def _held_since(self) -> float:
        if self._is_mute and self._first_token_at is not None:
            return max(self._spoke_at, self._first_token_at)
        return self._spoke_at

    def heartbeat_due(self, now: float) -> bool:
        quiet = self._state is State.OPEN and not self._silenced
        return quiet and now - self._spoke_at >= self._heartbeat_s

    def next_chunk(
        self,
        now: float,
        load: Callable[[], wire.WorkerLoad],
        shared: Sequence[wire.SharedChunk] = (),
        *,
        anyway: bool = False,
    ) -> wire.GenerateChunk | None:
        """Take all there is to say, *shared* with it, a heartbeat if one is due, or None.

        *anyway*: a heartbeat rather than None.
        """
        if self._state is State.OVER:
            return None
        if not (self.has_news or shared or anyway or self.heartbeat_due(now)):
            return None
        chunk = wire.GenerateChunk(
            seq=self._seq,
            token_ids=self._token_ids,
            logprobs=map(codec.token_logprob, self._logprobs),
            shared=shared,
        )
        if self._seq == 0:
            chunk.started.CopyFrom(self._started(now))
        if self._is_mute and self._first_token_at is not None:
            held_s = min(now - self._first_token_at, self.patience_s)
            chunk.first_token_age_ms = round(held_s * 1000)
        if self._ending is not None:
            self._put_ending(chunk, self._ending, now)
            self._state = State.OVER
        heartbeat = not self._token_ids and not shared
        if self._seq == 0 or self._ending is not None or heartbeat:
            chunk.load.CopyFrom(load())
        self._seq += 1
        self._spoke_at = now
        self._is_mute &= not self._token_ids
        self._token_ids = []
        self._logprobs = []
        return chunk

    def _started(self, now: float) -> wire.Started:
        return wire.Started(
            engine=self._engine,
            cached_tokens=self._cached_tokens,
            queue_ms=self._queue_ms(now),
            generated_tokens=self._generated_tokens,
            takes_requests=True,
        )

    def _put_ending(
        self, chunk: wire.GenerateChunk, ending: wire.Finished | wire.Error, now: float
    ) -> None:
        if isinstance(ending, wire.Error):
            chunk.error.CopyFrom(ending)
            return
        chunk.finished.CopyFrom(ending)
        chunk.finished.completion_tokens = self._completion_tokens
        chunk.finished.cached_tokens = self._cached_tokens
        chunk.finished.queue_ms = self._queue_ms(now)

    def _queue_ms(self, now: float) -> int:
        """Until the engine began; until now if it has not."""
        until = now if self._started_at is None else self._started_at
        return round((until - self._arrived_at) * 1000)
