"""One worker: its connection, its health, and what it is doing for us."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
from tritonclient.grpc.service_pb2 import (
    ModelInferRequest,
    ModelReadyRequest,
    ModelStreamInferResponse,
)
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from gateway.upstream.health import Health, WorkerState

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

# Triton declares a stream of requests. We have one, and that looks the same on
# the wire; but grpc.aio's call.write() waits for ever if its call is cancelled
# before there is a connection (1.85), and costs two more awaits.
_STREAM_INFER = "/inference.GRPCInferenceService/ModelStreamInfer"


class Worker:
    """One Triton, and our connection to it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.health = Health()
        self.in_flight = 0  # generations
        self.outstanding_tokens = 0  # prompt and output, booked and not yet delivered
        self._channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        # tritonclient's generated code knows no types.
        self._stub: Any = GRPCInferenceServiceStub(self._channel)
        self._stream_infer: Any = self._channel.unary_stream(
            _STREAM_INFER,
            request_serializer=ModelInferRequest.SerializeToString,
            response_deserializer=ModelStreamInferResponse.FromString,
        )

    async def close(self) -> None:
        """Close the connection. Generations that still run on it fail."""
        await self._channel.close()

    async def connect(self) -> None:
        """Wait until there is a connection, or gRPC knows that there is none.

        A call that begins earlier waits as well, but does not say for what.
        """
        state = self._channel.get_state(try_to_connect=True)
        while state in (grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.CONNECTING):
            await self._channel.wait_for_state_change(state)
            state = self._channel.get_state(try_to_connect=True)

    def stream_infer(self, request: ModelInferRequest, *, timeout_s: float | None) -> Any:
        """A call under way: `read()` it until `grpc.aio.EOF`, `cancel()` it to leave."""
        return self._stream_infer(request, timeout=timeout_s)

    async def probe(self, model_name: str, *, timeout_s: float) -> None:
        """Ask Triton whether the model is ready, and tell `health` the answer."""
        question = ModelReadyRequest(name=model_name)
        try:
            answer = await self._stub.ModelReady(question, timeout=timeout_s)
        except grpc.aio.AioRpcError as exc:
            if exc.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                self.health.probe_was_late()
            else:
                self.health.probe_answered(False)
        else:
            self.health.probe_answered(answer.ready)

    def book(self, tokens: int) -> Booking:
        """Count one more generation of so many tokens, until the booking ends."""
        return Booking(self, tokens)


class Booking:
    """The part of a worker's load that is one generation of ours."""

    def __init__(self, worker: Worker, tokens: int) -> None:
        self._worker = worker
        self._tokens = tokens
        self._ended = False
        worker.in_flight += 1
        worker.outstanding_tokens += tokens

    def deliver(self, tokens: int) -> None:
        """So many of the tokens have arrived. More than were booked count as booked."""
        tokens = min(tokens, self._tokens)
        self._tokens -= tokens
        self._worker.outstanding_tokens -= tokens

    def end(self) -> None:
        """Give back what is left. A second end does nothing."""
        if self._ended:
            return
        self._ended = True
        self.deliver(self._tokens)
        self._worker.in_flight -= 1


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
