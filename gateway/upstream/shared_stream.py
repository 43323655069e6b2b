"""A stream on which we ask one worker for many generations, and it tells of them.

Reading a message costs far more than what it holds, so a worker with many generations of ours
brings what several have to say in one (proto/wire/v1/generation.proto). And a stream costs
more than a message, so they are asked for, and cancelled, here as well, if the worker knows
that. Else, and some always, a generation has a stream of its own beside it: its last word, and
the way to cancel it.

    OPENING --> OPEN --retire()--> RETIRED --> OVER, from each of them
"""

from __future__ import annotations

import asyncio
import enum
import itertools
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any

import anyio
import grpc

from gateway.upstream.codec import (
    CANCELLATION,
    Delivered,
    Delivery,
    SharedReader,
    encode_cancellation,
    encode_shared_stream,
)
from gateway.upstream.failures import FINAL, AttemptFailed, ContractViolation, Reason
from gateway.upstream.kserve import ModelInferRequest, ModelStreamInferResponse
from gateway.upstream.rpc_errors import rpc_failure, task_is_cancelled

_log = logging.getLogger(__name__)

# Of chunks that nobody has read so many are joined: each by itself takes 40 bytes more. More
# would take milliseconds to read at once.
_JOINED = 64
# The two streams are independent: the last chunks may come after the end of the generation's
# own, and long after it when there is much to read. But then they come one after the other.
LAST_CHUNKS_S = 1.0
# And after it has failed: what comes so soon need not be generated again.
SAID_BEFORE_S = 0.05
# Triton keeps 650 bytes of each request until its stream ends (2.51, measured).
MOST_REQUESTS = 10_000


class StreamState(enum.Enum):
    OPENING = "opening"
    OPEN = "open"
    RETIRED = "retired"  # gets no more generations
    OVER = "over"


class Seat:
    """What one generation hears, there and on its own stream if it has one."""

    def __init__(self, stream: SharedStream, number: int) -> None:
        self._stream = stream
        self._number = number
        self.asked_as = ""  # its request's id, if it was asked for there
        self._loop = asyncio.get_running_loop()
        self._backlog: deque[Delivered] = deque()  # joined, and older than these:
        self._chunks: list[bytes] = []
        self._own: list[ModelStreamInferResponse | None] = []  # one at most
        self._own_taken: asyncio.Future[None] | None = None
        self._own_ended_at: float | None = None
        self._own_failure: AttemptFailed | None = None
        self._shared_failure: AttemptFailed | None = None
        self._left = False
        self._news: asyncio.Future[None] | None = None

    async def read(self, *, said_all: bool) -> Any:
        """What a ChunkReader receives, or grpc.aio.EOF. Raises AttemptFailed.

        *said_all*: the last chunk has been read.
        """
        while True:
            if self._backlog:
                await asyncio.sleep(0)  # there may be thousands: others want to go on too
                return self._backlog.popleft()
            if self._chunks:
                chunks, self._chunks = self._chunks, []
                return _joined(chunks)
            if self._own:
                self._take_own()
                return self._own.pop()
            if self._own_failure is not None:
                raise self._own_failure
            if self._shared_failure is not None and not said_all:
                raise self._shared_failure
            if self._own_ended_at is not None:
                heard_at = max(self._own_ended_at, self._stream.heard_at)
                if said_all or self._loop.time() >= heard_at + LAST_CHUNKS_S:
                    return grpc.aio.EOF
                self._loop.call_at(heard_at + LAST_CHUNKS_S, self._tell)
            self._news = self._loop.create_future()
            try:
                await self._news
            finally:
                self._news = None

    def put(self, chunk: bytes) -> None:
        """The shared stream has brought *chunk*, a serialised GenerateChunk."""
        self._chunks.append(chunk)
        if len(self._chunks) >= _JOINED:
            # Whoever has not come for so long does not read.
            self._backlog.append(_joined(self._chunks))
            self._chunks = []
        self._tell()

    async def put_own(self, response: ModelStreamInferResponse | None) -> None:
        """The generation's own stream has brought something: the worker does not share.

        Returns when it has been read: until then the worker must not send much more.
        """
        if self._left:
            return
        self._own.append(response)
        self._tell()
        self._own_taken = self._loop.create_future()
        await self._own_taken

    def _take_own(self) -> None:
        if self._own_taken is not None and not self._own_taken.done():
            self._own_taken.set_result(None)

    def own_ended(self) -> None:
        self._own_ended_at = self._loop.time()
        self._tell()

    def own_failed(self, failure: AttemptFailed) -> None:
        """So it did; what the worker has said before may still be on its way."""
        self._loop.call_later(SAID_BEFORE_S, self.fail, failure)

    def fail(self, failure: AttemptFailed) -> None:
        """The generation's own stream has failed, and nothing more comes."""
        self._own_failure = self._own_failure or failure
        self._tell()

    def refused(self, failure: AttemptFailed) -> None:
        """Triton has not taken what was asked for there: nothing has to be cancelled."""
        self.asked_as = ""
        self.fail(failure)

    def cut_off(self, failure: AttemptFailed) -> None:
        """The shared stream has ended; which matters only if not all has been said."""
        self._shared_failure = failure
        self._tell()

    @property
    def takes_requests(self) -> bool:
        """The generation may be asked for there."""
        return self._stream.takes_requests

    def delivery(self, *, asked_there: bool = False) -> Delivery:
        """What a request says to have its chunks brought here."""
        return Delivery(self._stream.name, self._number, asked_there)

    def ask(self, request_id: str, request: ModelInferRequest) -> None:
        """Ask for the generation there, once, if the stream `takes_requests`."""
        self.asked_as = request_id
        self._stream.ask(self._number, request)

    def leave(self, *, said_all: bool) -> None:
        """Nobody reads here any more. May be repeated.

        *said_all*: the last chunk has been read. Else it is cancelled, if it was asked for there.
        """
        if self._left:
            return
        self._left = True
        self._take_own()
        self._stream.left(self._number, cancel=bool(self.asked_as) and not said_all)

    def distrust(self) -> None:
        """Nothing comes, and whose fault that is nobody knows: others had better not sit here."""
        self._stream.retire()

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


def _joined(chunks: Sequence[bytes]) -> Delivered:
    """One behind the other, they are one message of protobuf."""
    return Delivered(chunks[0] if len(chunks) == 1 else b"".join(chunks), len(chunks))


class SharedStream:
    """One of them; `run()` asks for it and reads it, in a task of its own."""

    def __init__(
        self, name: str, call: Any, *, model_name: str, takes_requests: bool = False
    ) -> None:
        """*call*: under way, and nothing has been written yet."""
        self.name = name
        self.takes_requests = takes_requests  # generations may be asked for here
        self.state = StreamState.OPENING
        self.heard_at = float("-inf")  # in the loop's time, as below
        self.failed_at: float | None = None  # neither we left it nor the worker drains
        self._loop = asyncio.get_running_loop()
        self._call = call
        self._model_name = model_name
        self._has_spoken = False  # the worker, here
        self._numbers = itertools.count(1)
        self._seats: dict[int, Seat] = {}
        self._asked = 0  # generations, ever
        self._to_ask: dict[int, ModelInferRequest] = {}  # by number; not written yet
        self._to_cancel: list[int] = []
        self._to_say = asyncio.Event()  # there is something in one of the two

    def seat(self) -> Seat:
        """A place for one more generation, if the stream `takes` any.

        Also before the worker has said that it knows the stream. If it does not, a generation
        with a stream of its own hears there, and another worker takes over from those without.
        """
        assert self.takes
        number = next(self._numbers)
        seat = self._seats[number] = Seat(self, number)
        return seat

    def ask(self, number: int, request: ModelInferRequest) -> None:
        self._to_ask[number] = request
        self._to_say.set()
        self._asked += 1

    @property
    def full(self) -> bool:
        """Another one had better take those that come."""
        return self._asked >= MOST_REQUESTS

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
            self.takes_requests = False
            self._leave_if_done()

    def left(self, number: int, *, cancel: bool) -> None:
        """So does the seat of this number say; *cancel* what was asked for under it."""
        self._seats.pop(number, None)
        if cancel and self._to_ask.pop(number, None) is None:
            self._to_cancel.append(number)
            self._to_say.set()
        self._leave_if_done()

    def _leave_if_done(self) -> None:
        if self.state is StreamState.RETIRED and not self._seats:
            self._call.cancel()

    async def run(self) -> None:
        """Hand out what comes, until the end."""
        end = AttemptFailed(Reason.UNREACHABLE, "reading was stopped")
        try:
            async with anyio.create_task_group() as both:
                both.start_soon(self._speak)
                end = await self._read()
                both.cancel_scope.cancel()
        finally:
            self._call.cancel()
            self.takes_requests = False
            if self.takes and end.reason is not Reason.DRAINING:
                self.failed_at = self._loop.time()
            self.state = StreamState.OVER
            for seat in list(self._seats.values()):
                # If it never was open, those that have their own streams will hear there.
                if self._has_spoken or seat.asked_as:
                    seat.cut_off(AttemptFailed(end.reason, f"the shared stream: {end}"))

    async def _speak(self) -> None:
        """Write what is asked, until the end. If it cannot be written, reading tells why."""
        try:
            await self._call.write(encode_shared_stream(self.name, model_name=self._model_name))
            while True:
                await self._to_say.wait()
                self._to_say.clear()
                while self._to_ask or self._to_cancel:
                    await self._call.write(self._next_request())
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            self._call.cancel()  # it has ended, or nothing can be asked on it any more
        except asyncio.CancelledError:
            if task_is_cancelled():
                raise
        except Exception:  # noqa: BLE001 - as below
            _log.exception("a shared stream cannot be written")
            self._call.cancel()

    def _next_request(self) -> ModelInferRequest:
        if self._to_cancel:  # first: it may make room
            numbers, self._to_cancel = self._to_cancel, []
            return encode_cancellation(self.name, numbers, model_name=self._model_name)
        return self._to_ask.pop(next(iter(self._to_ask)))

    async def _read(self) -> AttemptFailed:
        """Why it has ended."""
        reader = SharedReader()
        try:
            while (response := await self._call.read()) is not grpc.aio.EOF:
                self.heard_at = self._loop.time()
                if self._is_refusal(response):
                    continue
                shared_chunks = reader.receive(response)
                self._has_spoken = True
                for shared in shared_chunks:
                    # Whoever has left does not want it.
                    if (seat := self._seats.get(shared.number)) is not None:
                        seat.put(shared.chunk)
                if self.state is StreamState.OPENING:
                    self.state = StreamState.OPEN
            return AttemptFailed(Reason.ENDED_EARLY, "it ended")
        except AttemptFailed as failed:
            # What would be about a generation is none of this stream's business.
            return ContractViolation(str(failed)) if failed.reason in FINAL else failed
        except grpc.aio.AioRpcError as exc:
            return rpc_failure(exc)
        except asyncio.CancelledError:
            if task_is_cancelled():
                raise
            return AttemptFailed(Reason.UNREACHABLE, "it was closed on our side")
        except Exception as exc:  # noqa: BLE001 - a bug of ours must not end others' streams
            _log.exception("a shared stream cannot be read")
            return AttemptFailed(Reason.UNREACHABLE, repr(exc))

    def _is_refusal(self, response: ModelStreamInferResponse | None) -> bool:
        """Whether *response* says that Triton itself refuses one request, which is told so."""
        if response is None or not response.error_message:
            return False
        request_id = response.infer_response.id
        if request_id == CANCELLATION:
            # Triton stops, and takes nothing any more; what others have under way it will end.
            self.retire()
        for seat in self._seats.values():
            if seat.asked_as and seat.asked_as == request_id:
                seat.refused(AttemptFailed(Reason.TRITON_ERROR, response.error_message))
        return request_id not in ("", self.name)
