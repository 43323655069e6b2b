"""A stream on which one worker tells of many of our generations.

Reading a message costs far more than what it holds, so a worker with many generations of ours
brings what several have to say in one (proto/wire/v1/generation.proto). Each generation keeps
a stream of its own beside it: its last word, and the way to cancel it.

    OPENING --> OPEN --retire()--> RETIRED --> OVER
       |
       v
    REFUSED
"""

from __future__ import annotations

import asyncio
import enum
import itertools
import logging
from dataclasses import dataclass
from typing import Any

import grpc

from gateway.upstream.codec import Delivered, Delivery, SharedReader
from gateway.upstream.failures import AttemptFailed, Reason
from gateway.upstream.kserve import ModelStreamInferResponse

_log = logging.getLogger(__name__)

# Chunks that nobody has read are joined from so many on: each by itself takes 40 bytes more.
_JOIN_FROM = 64
# The two streams are independent: the last chunks may come a little after the end of the
# generation's own.
LAST_CHUNKS_S = 1.0
# And after it has failed: what comes so soon need not be generated again.
SAID_BEFORE_S = 0.05


class StreamState(enum.Enum):
    OPENING = "opening"
    OPEN = "open"
    RETIRED = "retired"  # gets no more generations
    OVER = "over"
    REFUSED = "refused"  # it never was open


class Seat:
    """What one generation hears, there and on its own stream."""

    def __init__(self, stream: SharedStream, number: int) -> None:
        self._stream = stream
        self._number = number
        self._loop = asyncio.get_running_loop()
        self._chunks: list[bytes] = []
        self._joined = 0  # of the first of these: it is so many more
        self._own: list[ModelStreamInferResponse | None] = []
        self._failure: AttemptFailed | None = None
        self._own_ended_at: float | None = None
        self._news: asyncio.Future[None] | None = None

    async def read(self, *, said_all: bool) -> Any:
        """What a ChunkReader receives, or grpc.aio.EOF. Raises AttemptFailed.

        *said_all*: the last chunk has been read.
        """
        while True:
            if self._chunks:
                count, self._joined = len(self._chunks) + self._joined, 0
                chunks, self._chunks = self._chunks, []
                return Delivered(chunks[0] if len(chunks) == 1 else b"".join(chunks), count)
            if self._own:
                return self._own.pop(0)
            if self._failure is not None:
                raise self._failure
            if self._own_ended_at is not None:
                more_until = self._own_ended_at + LAST_CHUNKS_S
                if said_all or self._loop.time() >= more_until:
                    return grpc.aio.EOF
                self._loop.call_at(more_until, self._tell)
            self._news = self._loop.create_future()
            try:
                await self._news
            finally:
                self._news = None

    def put(self, chunk: bytes) -> None:
        """The shared stream has brought *chunk*, a serialised GenerateChunk."""
        self._chunks.append(chunk)
        if len(self._chunks) >= _JOIN_FROM:
            # Whoever has not come for so long does not read. One behind the other, they are
            # one message of protobuf.
            self._joined += len(self._chunks) - 1
            self._chunks = [b"".join(self._chunks)]
        self._tell()

    def put_own(self, response: ModelStreamInferResponse | None) -> None:
        """The generation's own stream has brought something: the worker does not share."""
        self._own.append(response)
        self._tell()

    def own_ended(self) -> None:
        self._own_ended_at = self._loop.time()
        self._tell()

    def own_failed(self, failure: AttemptFailed) -> None:
        """So it did; what the worker has said before may still be on its way."""
        self._loop.call_later(SAID_BEFORE_S, self.fail, failure)

    def fail(self, failure: AttemptFailed) -> None:
        """Nothing more comes. The first failure counts."""
        self._failure = self._failure or failure
        self._tell()

    @property
    def delivery(self) -> Delivery:
        """What a request says to have its chunks brought here."""
        return Delivery(self._stream.name, self._number)

    def leave(self) -> None:
        """Nobody reads here any more. May be repeated."""
        self._stream.left(self._number)

    def distrust(self) -> None:
        """Nothing comes, and whose fault that is nobody knows: others had better not sit here."""
        self._stream.retire()

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


@dataclass(frozen=True, slots=True)
class _End:
    """Why a shared stream has ended."""

    reason: Reason
    text: str


class SharedStream:
    """One of them; `run()` reads it, in a task of its own."""

    def __init__(self, name: str, call: Any) -> None:
        """*call*: under way, and asked with `encode_shared_stream(name)`."""
        self.name = name
        self.state = StreamState.OPENING
        self.began_at = asyncio.get_running_loop().time()
        self._call = call
        self._numbers = itertools.count(1)
        self._seats: dict[int, Seat] = {}

    def seat(self) -> Seat:
        """A place for one more generation, if the stream `takes` any.

        Also before the worker has said that it knows the stream. If it does not, it says what
        it has to say on the generation's own.
        """
        assert self.takes
        number = next(self._numbers)
        seat = self._seats[number] = Seat(self, number)
        return seat

    @property
    def takes(self) -> bool:
        return self.state in (StreamState.OPENING, StreamState.OPEN)

    @property
    def empty(self) -> bool:
        return not self._seats

    def retire(self) -> None:
        """Take nobody any more; it is left when the last one has."""
        if self.takes:
            self.state = StreamState.RETIRED
            self._leave_if_done()

    def left(self, number: int) -> None:
        """So does the seat of this number say."""
        self._seats.pop(number, None)
        self._leave_if_done()

    def _leave_if_done(self) -> None:
        if self.state is StreamState.RETIRED and not self._seats:
            self._call.cancel()

    async def run(self) -> None:
        """Hand out what comes, until the end."""
        end = _End(Reason.UNREACHABLE, "reading was stopped")
        try:
            end = await self._read()
        finally:
            self._call.cancel()
            if self.state is StreamState.OPENING:
                self.state = StreamState.REFUSED
            else:
                self.state = StreamState.OVER
                for seat in list(self._seats.values()):
                    seat.fail(AttemptFailed(end.reason, f"the shared stream: {end.text}"))

    async def _read(self) -> _End:
        reader = SharedReader()
        try:
            while (response := await self._call.read()) is not grpc.aio.EOF:
                for shared in reader.receive(response):
                    # Whoever has left does not want it.
                    if (seat := self._seats.get(shared.number)) is not None:
                        seat.put(shared.chunk)
                if self.state is StreamState.OPENING:
                    self.state = StreamState.OPEN
            return _End(Reason.ENDED_EARLY, "it ended")
        except AttemptFailed as failed:
            return _End(failed.reason, str(failed))
        except grpc.aio.AioRpcError as exc:
            return _End(Reason.UNREACHABLE, f"{exc.code().name}: {exc.details()}")
        except asyncio.CancelledError:
            # As in attempt.py: was it us, or our call?
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return _End(Reason.UNREACHABLE, "it was closed on our side")
        except Exception as exc:  # noqa: BLE001 - a bug of ours must not end others' streams
            _log.exception("a shared stream cannot be read")
            return _End(Reason.UNREACHABLE, repr(exc))
