"""One worker: its connection, its health, and what it is doing for us."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from anyio.abc import TaskGroup

from gateway.upstream.affinity import worker_hash
from gateway.upstream.codec import encode_ping, read_pong
from gateway.upstream.credentials import WorkerTls
from gateway.upstream.failures import ContractViolation
from gateway.upstream.health import Health, WorkerState
from gateway.upstream.kserve import ModelInferRequest, ModelStreamInferResponse
from gateway.upstream.sharing import Sharing
from gateway.upstream.window import Window
from wire.v1.generation_pb2 import WorkerLoad

CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A pod that restarts is back within seconds; gRPC would wait up to 120.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A node that vanished says nothing: ask, also while a generation is silent.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    # Channels to one address would share a connection, across pools too.
    ("grpc.use_local_subchannel_pool", 1),
)

# Triton declares a stream of requests. A generation's own stream has one, and that looks the
# same on the wire; but grpc.aio's call.write() waits for ever if its call is cancelled
# before there is a connection (1.85), and costs two more awaits.
_STREAM_INFER = "/inference.GRPCInferenceService/ModelStreamInfer"


class Worker:
    """One Triton, and our connection to it. Raises OSError if *tls* cannot be read.

    Args:
        tasks: in which streams are read, if there is such a group now.
    """

    def __init__(
        self,
        address: str,
        tls: WorkerTls | None = None,
        *,
        model_name: str = "gpt-oss-120b",
        tasks: Callable[[], TaskGroup | None] = lambda: None,
    ) -> None:
        self.address = address
        self.hash = worker_hash(address)
        self.health = Health()
        self.outstanding_tokens = 0  # prompt and output, booked and not yet delivered
        self.window = Window()
        self._bookings: set[Booking] = set()
        self._channel = _channel(address, tls)
        self._stream_infer: Any = self._channel.unary_stream(
            _STREAM_INFER,
            request_serializer=ModelInferRequest.SerializeToString,
            response_deserializer=ModelStreamInferResponse.FromString,
        )
        stream_infer_many = self._channel.stream_stream(
            _STREAM_INFER,
            request_serializer=ModelInferRequest.SerializeToString,
            response_deserializer=ModelStreamInferResponse.FromString,
        )
        self.sharing = Sharing(stream_infer_many, model_name=model_name, tasks=tasks)

    async def close(self) -> None:
        """Close the connection. Generations that still run on it fail."""
        await self._channel.close()

    @property
    def connected(self) -> bool:
        """There is a connection, as far as gRPC knows."""
        return self._channel.get_state() is grpc.ChannelConnectivity.READY

    async def connect(self) -> None:
        """Wait until there is a connection, or gRPC knows that there is none.

        A call that begins earlier waits as well, but does not say for what.
        """
        state = self._channel.get_state(try_to_connect=True)
        while state in (grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.CONNECTING):
            await self._channel.wait_for_state_change(state)
            state = self._channel.get_state(try_to_connect=True)

    def stream_infer(
        self,
        request: ModelInferRequest,
        *,
        timeout_s: float | None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> Any:
        """A call under way: `read()` it until `grpc.aio.EOF`, `cancel()` it to leave."""
        return self._stream_infer(request, timeout=timeout_s, metadata=headers or None)

    async def probe(self, model_name: str, *, timeout_s: float) -> WorkerLoad | None:
        """Ask the model itself whether it is well, tell `health`, and return its load.

        Triton calls a model ready whose process is dead (before 26.01), so a ping goes all
        the way to the engine's loop and back.
        """
        call = self.stream_infer(encode_ping(model_name=model_name), timeout_s=timeout_s)
        pong = None
        try:
            answer = await call.read()
            if answer is not grpc.aio.EOF:
                await call.read()  # its end: cancelling what is just ending is a race in Triton
                pong = read_pong(answer)
        except grpc.aio.AioRpcError as exc:
            if exc.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                self.health.probe_was_late()
                return None
        except ContractViolation:
            pass
        self.health.probe_answered(pong is not None)
        if pong is None:
            return None
        self.sharing.takes_requests = pong.takes_requests
        return pong.load

    def note_load(self, load: WorkerLoad, now: float) -> None:
        """It said how busy it is; *now* in seconds, as below."""
        self.window.heard(load, ours=self.in_flight, now=now)

    def free(self, now: float) -> int:
        """How many more generations it would run at once; below 0, so many wait."""
        return self.window.free(self.in_flight, now)

    def full(self, now: float) -> bool:
        """Whether another worker had better be asked, even one without the prefix."""
        return self.window.full(self.in_flight, now)

    @property
    def in_flight(self) -> int:
        """Generations of ours."""
        return len(self._bookings)

    def book(self, tokens: int, *, abandon: Callable[[], object] = lambda: None) -> Booking:
        """Count one more generation of so many tokens, until the booking ends.

        *abandon* is called when the worker is found to be dead while it still listens.
        """
        booking = Booking(self, tokens, abandon)
        self._bookings.add(booking)
        self.outstanding_tokens += tokens
        return booking

    def ended(self, booking: Booking) -> None:
        self._bookings.discard(booking)

    def abandon(self) -> None:
        """It is down: whoever waits for it need not wait for the end of his patience."""
        for booking in list(self._bookings):
            booking.abandon()


class Booking:
    """The part of a worker's load that is one generation of ours."""

    def __init__(self, worker: Worker, tokens: int, abandon: Callable[[], object]) -> None:
        self.abandon = abandon
        self._worker = worker
        self._tokens = tokens

    def deliver(self, tokens: int) -> None:
        """So many of the tokens have arrived. More than were booked count as booked."""
        tokens = min(tokens, self._tokens)
        self._tokens -= tokens
        self._worker.outstanding_tokens -= tokens

    def end(self) -> None:
        """Give back what is left. A second end does nothing."""
        self.deliver(self._tokens)
        self._worker.ended(self)


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker, as metrics and /readyz show it."""

    address: str
    state: WorkerState
    in_flight: int
    outstanding_tokens: int
    ejections: int  # ever

    @property
    def up(self) -> bool:
        return self.state is WorkerState.UP


def _channel(address: str, tls: WorkerTls | None) -> grpc.aio.Channel:
    if tls is None:
        return grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
    options: tuple[tuple[str, int | str], ...] = CHANNEL_OPTIONS
    if tls.server_name is not None:
        options = (*options, ("grpc.ssl_target_name_override", tls.server_name))
    return grpc.aio.secure_channel(address, tls.read(), options=options)
