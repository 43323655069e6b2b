"""One attempt at a generation, on one worker: one ModelStreamInfer stream.

Such a stream carries one generation, because Triton cancels a stream as a whole.
Leaving it is cancelling it: `close()` is not a coroutine, so no cancellation of
ours can get between a client that has left and the worker that should know.

If the worker has many of ours, they share a stream (shared_stream.py). It brings their chunks,
and most are asked for there as well. What is large or traced keeps a stream of its own
beside it, which brings nothing but its end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc

from gateway.generation import AttemptWatch, Chunk, Generation
from gateway.upstream.codec import ChunkReader, Delivery
from gateway.upstream.failures import AttemptFailed, ContractViolation, Reason
from gateway.upstream.kserve import ModelInferRequest
from gateway.upstream.rpc_errors import rpc_failure, task_is_cancelled
from gateway.upstream.shared_stream import Seat
from gateway.upstream.watchdog import Watchdog
from gateway.upstream.worker import Worker
from wire.v1.generation_pb2 import WorkerLoad

_log = logging.getLogger(__name__)

Encode = Callable[[Generation, Delivery | None], ModelInferRequest]

# A stream that went on for longer than a probe was waited for is one that goes on.
ABANDONED_AFTER_S = 1.0
# Triton closes the stream within a millisecond of its last message.
END_OF_STREAM_S = 1.0
# On a shared stream others would wait behind a larger request, whose own cost is far more
# than a stream's.
LARGEST_SHARED_BYTES = 32_768


@dataclass(frozen=True, slots=True)
class UpstreamTimeouts:
    """How long a generation may keep us waiting, in seconds."""

    connect_s: float = 3.0  # until there is a connection to the worker
    idle_s: float = 15.0  # between two messages; workers send heartbeats every 5
    first_token_s: float = 60.0  # from the start of the generation, over all attempts
    takeover_s: float = 5.0  # until there is a worker that goes on with half a turn


class Attempt:
    """What one worker generates.

    Args:
        encode: makes *generation* what the worker will read.
        watch: what follows it.
        first_token_at: when the first token must be there, in the loop's time.
        end_at: when the whole generation must be; None = whenever.
    """

    def __init__(
        self,
        worker: Worker,
        generation: Generation,
        encode: Encode,
        timeouts: UpstreamTimeouts,
        watch: AttemptWatch,
        *,
        first_token_at: float,
        end_at: float | None,
    ) -> None:
        self.worker = worker
        self.generated_tokens = generation.generated_tokens  # before it began
        self.has_tokens = False  # the worker has generated some
        self._generation = generation
        self._encode = encode
        self._timeouts = timeouts
        self._watch = watch
        self._closed = False
        # The first token may be held back.
        self._first_chunk_at = first_token_at + generation.chunk_interval_ms / 1000
        self._end_at = end_at
        self._loop = asyncio.get_running_loop()
        self._booking = worker.book(
            len(generation.prompt) + generation.max_output_tokens,
            abandon=self._abandon,
        )
        self._chunks = ChunkReader(worker.address, generation)
        self._asked = False
        self._call: Any = None  # a stream of our own, if there is one
        self._seat: Seat | None = None  # where the chunks come, if not there
        self._watchdog = Watchdog(self._give_up)

    @property
    def load(self) -> WorkerLoad | None:
        """How busy the worker is, if it said so beside the last chunk."""
        return self._chunks.load

    @property
    def ended(self) -> bool:
        """The worker has said its last word; only the stream's own end is to come."""
        return self._chunks.ended

    async def begin(self) -> None:
        """Send the request now, if there is a connection. To be awaited once, before all else.

        What our caller does until it asks for the first chunk, the worker need not wait for.
        """
        if self.worker.connected:
            self._ask()
            await asyncio.sleep(0)  # another task sends

    async def receive(self) -> Chunk:
        """The next chunk; sends the request if that has not happened. Raises AttemptFailed."""
        if self._chunks.failure is not None:
            raise self._chunks.failure
        response = await self._read()
        if response is grpc.aio.EOF:
            raise AttemptFailed(Reason.ENDED_EARLY, "no `finished`")
        chunk = self._chunks.receive(response)
        if chunk.token_ids:
            if not self.has_tokens:
                self.has_tokens = True
                self.worker.health.generated()
            self._booking.deliver(len(chunk.token_ids))
        return chunk

    async def end(self) -> None:
        """Wait for the end of the stream after its last chunk. Raises AttemptFailed.

        We could cancel instead, but cancelling what is just ending is what
        Triton's races were about.
        """
        if self._call is None:
            return  # it was asked for on a shared stream, which goes on
        if await self._read() is not grpc.aio.EOF:
            raise ContractViolation("a message after the last chunk")

    def close(self, failure: str = "") -> None:
        """Cancel what is still running, and give back what is booked. May be repeated.

        *failure*: what it ended with, for who follows it.
        """
        if not self._closed:
            self._closed = True
            self._watch.ended(failure)
        self._watchdog.stop()
        if self._call is not None:
            self._call.cancel()
        if self._seat is not None:
            self._seat.leave(said_all=self._chunks.ended)
        self._booking.end()

    async def _read(self) -> Any:
        """What a ChunkReader receives, or grpc.aio.EOF."""
        try:
            if not self._asked:
                await self._send()
            self._watchdog.watch(*self._patience())
            if self._seat is not None:
                return await self._seat.read(said_all=self._chunks.ended)
            return await self._call.read()
        except grpc.aio.AioRpcError as exc:
            raise rpc_failure(exc) from exc
        except asyncio.CancelledError as exc:
            if task_is_cancelled():
                raise
            raise self._cancelled() from exc
        finally:
            self._watchdog.rest()

    async def _send(self) -> None:
        try:
            async with asyncio.timeout(self._timeouts.connect_s):
                await self.worker.connect()
        except TimeoutError as exc:
            raise AttemptFailed(Reason.UNREACHABLE, "no connection in time") from exc
        self._ask()

    def _ask(self) -> None:
        self._asked = True
        asks_there = self._may_be_asked_there()
        if self._generation.top_logprobs is None:
            # With them, what nobody has read yet could become large: a stream of one's own
            # says so to the worker.
            self._seat = self.worker.sharing.take_seat(self.worker.in_flight, asks_there=asks_there)
        if self._seat is None:
            self._call = self._own_stream(None)
        elif asks_there and self._seat.takes_requests:
            delivery = self._seat.delivery(asked_there=True)
            self._seat.ask(self._generation.request_id, self._encode(self._generation, delivery))
        else:
            self._call = self._own_stream(self._seat.delivery())
            self.worker.sharing.start(self._read_own_stream, self._seat)

    def _may_be_asked_there(self) -> bool:
        # A trace is told with a stream, not with a request.
        return not self._watch.headers and _size(self._generation) <= LARGEST_SHARED_BYTES

    def _own_stream(self, delivery: Delivery | None) -> Any:
        # Of the deadline gRPC takes care; it tells Triton too.
        timeout_s = None if self._end_at is None else self._end_at - self._loop.time()
        return self.worker.stream_infer(
            self._encode(self._generation, delivery),
            timeout_s=timeout_s,
            headers=self._watch.headers,
        )

    async def _read_own_stream(self, seat: Seat) -> None:
        """Pass on what comes there, which is nothing but its end if all is well."""
        try:
            while (response := await self._call.read()) is not grpc.aio.EOF:
                if response is not None and response.error_message:
                    raise AttemptFailed(Reason.TRITON_ERROR, response.error_message)
                await seat.put_own(response)
            seat.own_ended()
        except AttemptFailed as failed:
            seat.own_failed(failed)
        except grpc.aio.AioRpcError as exc:
            seat.own_failed(rpc_failure(exc))
        except asyncio.CancelledError:
            seat.fail(self._cancelled())
            if task_is_cancelled():
                raise
        except Exception as exc:  # noqa: BLE001 - a bug of ours must not end others' streams
            _log.exception("a generation's own stream cannot be read")
            seat.fail(AttemptFailed(Reason.UNREACHABLE, repr(exc)))

    def _cancelled(self) -> AttemptFailed:
        reason = self._watchdog.barked or Reason.UNREACHABLE
        return AttemptFailed(reason, "the call was cancelled on our side")

    def _patience(self) -> tuple[float, Reason]:
        if self._chunks.ended:
            return END_OF_STREAM_S, Reason.SILENT
        limit_s, reason = self._timeouts.idle_s, Reason.SILENT
        now = self._loop.time()
        if not self.has_tokens and self._first_chunk_at - now < limit_s:
            limit_s, reason = self._first_chunk_at - now, Reason.NO_FIRST_TOKEN
        if self._call is None and self._end_at is not None and self._end_at - now < limit_s:
            limit_s, reason = self._end_at - now, Reason.DEADLINE
        return limit_s, reason

    def _abandon(self) -> None:
        """The worker does not answer others. Nor us, if it is some time since it did."""
        if self._watchdog.waits() > ABANDONED_AFTER_S:
            self._watchdog.bark(Reason.SILENT)

    def _give_up(self) -> None:
        """The worker keeps us waiting, in one way or another."""
        if (
            self._seat is not None
            and self._watchdog.barked is Reason.SILENT
            and not self._chunks.ended
        ):
            self._seat.distrust()
        if self._call is not None:
            self._call.cancel()
        elif self._seat is not None:
            self._seat.fail(self._cancelled())


def _size(generation: Generation) -> int:
    """Bytes of its request, but for a few: a token is four."""
    size = 4 * len(generation.prompt)
    if (constraint := generation.constraint) is not None:
        size += len(constraint.final_schema_json)
        size += sum(len(function.parameters_json) for function in constraint.functions)
    return size
