"""A Triton played by hand: the real protocol on a real port, with a script for each stream.

async def script(stream: Stream) -> None:
    await stream.send([1, 2])
    await stream.finish()

async with FakeTriton(script) as worker:
    ...
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc
from tritonclient.grpc import service_pb2 as triton
from tritonclient.grpc import service_pb2_grpc as triton_grpc

from wire.v1 import generation_pb2 as wire

Script = Callable[["Stream"], Awaitable[None]]


@dataclass(frozen=True)
class Asked:
    """A generation as it arrived."""

    model_name: str
    input_ids: tuple[int, ...]
    request: wire.GenerateRequest


class _Answers:
    """The way back: generations that share it may speak at the same time, and gRPC cannot."""

    def __init__(self, context: Any) -> None:
        self.abort = context.abort
        self._context = context
        self._one_at_a_time = asyncio.Lock()

    async def write(self, response: triton.ModelStreamInferResponse) -> None:
        async with self._one_at_a_time:
            await self._context.write(response)


class Stream:
    """One ModelStreamInfer stream: what was asked, and what may be said."""

    def __init__(
        self, asked: Asked, context: Any, shared: Shared | None = None, number: int = 0
    ) -> None:
        self.asked = asked
        self.shared = shared  # where its chunks go, under this number, if not on itself
        self.number = number
        self.seq = 0
        self.tokens = 0
        self._context = context

    async def send(
        self,
        token_ids: Sequence[int] = (),
        *,
        started: bool | None = None,
        cached_tokens: int = 0,
        draining: bool | None = None,
    ) -> None:
        """A chunk; without tokens a heartbeat. The first one is `started`."""
        if started is None:
            started = self.seq == 0
        self.tokens += len(token_ids)
        await self.send_chunk(
            wire.GenerateChunk(
                token_ids=token_ids,
                started=self._started(cached_tokens) if started else None,
                load=None if draining is None else wire.WorkerLoad(draining=draining),
            )
        )

    def _started(self, cached_tokens: int) -> wire.Started:
        return wire.Started(
            engine="fake",
            cached_tokens=cached_tokens,
            generated_tokens=self.asked.request.generated_tokens,
        )

    async def finish(self, reason: wire.Finished.Reason = wire.Finished.STOP) -> None:
        finished = wire.Finished(reason=reason, completion_tokens=self.tokens)
        await self.send_chunk(wire.GenerateChunk(finished=finished))

    async def pong(self, load: wire.WorkerLoad, *, takes_requests: bool) -> None:
        finished = wire.Finished(reason=wire.Finished.PONG)
        started = wire.Started(engine="fake", takes_requests=takes_requests)
        await self.send_chunk(wire.GenerateChunk(started=started, finished=finished, load=load))

    async def fail(self, code: wire.Error.Code, retry_after_ms: int = 0) -> None:
        error = wire.Error(code=code, message="as scripted", retry_after_ms=retry_after_ms)
        await self.send_chunk(wire.GenerateChunk(error=error))

    async def send_chunk(self, chunk: wire.GenerateChunk) -> None:
        """Any chunk, with the next seq."""
        chunk.seq = self.seq
        self.seq += 1
        await self.send_bytes(chunk.SerializeToString())

    async def send_bytes(self, chunk: bytes) -> None:
        """Anything for a chunk, wherever chunks go."""
        if self.shared is None:
            await self.send_output(bytes_element(chunk))
        else:
            await self.shared.bring(self.number, chunk)

    async def send_output(self, *contents: bytes) -> None:
        """Any raw output."""
        response = triton.ModelInferResponse(raw_output_contents=contents)
        await self._context.write(triton.ModelStreamInferResponse(infer_response=response))

    async def triton_error(self, message: str) -> None:
        response = triton.ModelStreamInferResponse(error_message=message)
        response.infer_response.id = self.asked.request.request_id
        await self._context.write(response)

    async def hang(self) -> None:
        """Say nothing until somebody cancels."""
        await asyncio.Event().wait()


class Shared(Stream):
    """A shared stream: what it brings is for others."""

    async def bring(self, number: int, *chunks: bytes) -> None:
        """One message with these chunks for the generation of this number."""
        await self.send_chunk(
            wire.GenerateChunk(
                shared=[wire.SharedChunk(number=number, chunk=chunk) for chunk in chunks]
            )
        )


async def count_to(stream: Stream, tokens: int) -> None:
    """A script's usual content: 1, 2, 3, ... one a chunk, and the end.

    Goes on where another worker has stopped.
    """
    for token_id in range(1 + stream.asked.request.generated_tokens, tokens + 1):
        await stream.send([token_id])
    await stream.finish()


async def count_to_three(stream: Stream) -> None:
    await count_to(stream, 3)


class FakeTriton(triton_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """A server on the loopback interface that plays *script* on each stream."""

    def __init__(
        self,
        script: Script = count_to_three,
        *,
        port: int = 0,
        shares: bool = False,
        takes_requests: bool = False,
        tls: grpc.ServerCredentials | None = None,
    ) -> None:
        self.script = script
        # Knows of shared streams, and of requests on them; else it is an older worker.
        self.shares = shares
        self.takes_requests = takes_requests
        self.refuses = False  # to cancel, as a Triton that stops does
        self.shared: dict[str, Shared] = {}  # by name; those that are open
        self.shared_asked_for = 0  # ever
        self._tls = tls
        self.ready = True
        self.load = wire.WorkerLoad(kv_free_ratio=1)
        self.asked: list[Asked] = []
        self.cancelled = 0  # generations that the client left
        self.streams = 0  # under way
        self.port = port
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server()
        triton_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        if self._tls is None:
            self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        else:
            self.port = self._server.add_secure_port(f"127.0.0.1:{self.port}", self._tls)
        await self._server.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.die()

    async def die(self) -> None:
        """Close all connections at once, like a killed process."""
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(0)

    async def ModelStreamInfer(self, requests: AsyncIterator[Any], rpc: Any) -> None:
        context = _Answers(rpc)
        self.streams += 1
        by_number: dict[int, asyncio.Task[None]] = {}  # asked for on this stream
        try:
            async with asyncio.TaskGroup() as tasks:
                async for request in requests:
                    asked = decode(request)
                    delivery = asked.request.delivery
                    if asked.request.shared_stream:
                        tasks.create_task(self._share(Shared(asked, context)))
                    elif asked.request.cancel and self.refuses:
                        refusal = triton.ModelStreamInferResponse(error_message="Server exiting")
                        refusal.infer_response.id = request.id
                        await context.write(refusal)
                    elif asked.request.cancel:
                        for number in asked.request.cancel:
                            by_number[number].cancel()
                    elif delivery.asked_there:
                        assert self.takes_requests
                        number = delivery.number
                        by_number[number] = tasks.create_task(self._generate(asked, context))
                    elif not asked.request.ping:
                        await self._generate(asked, context)
                    elif self.ready:
                        stream = Stream(asked, context)
                        await stream.pong(self.load, takes_requests=self.takes_requests)
                    else:
                        await Stream(asked, context).triton_error("Request for unknown model")
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None  # gRPC looks at what kind it is
        finally:
            self.streams -= 1

    async def _generate(self, asked: Asked, context: Any) -> None:
        delivery = asked.request.delivery
        shared = self.shared.get(delivery.shared_stream)
        stream = Stream(asked, context, shared, delivery.number)
        for where in ("shared_stream", "number", "asked_there"):  # which is not what
            delivery.ClearField(where)
        if not delivery.ListFields():
            asked.request.ClearField("delivery")
        self.asked.append(asked)
        try:
            await self.script(stream)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def _share(self, shared: Shared) -> None:
        self.shared_asked_for += 1
        if not self.shares:
            await shared.fail(wire.Error.INVALID_ARGUMENT)
            return
        name = shared.asked.request.request_id
        self.shared[name] = shared
        try:
            await shared.send()
            await shared.hang()
        finally:
            del self.shared[name]


def bytes_element(content: bytes) -> bytes:
    """*content* as Triton writes the one element of a BYTES tensor."""
    return struct.pack("<I", len(content)) + content


def decode(request: Any) -> Asked:
    """What a worker reads; asserts what Triton would check."""
    input_ids, body = request.inputs
    assert (input_ids.name, input_ids.datatype) == ("input_ids", "INT32")
    assert (body.name, body.datatype, list(body.shape)) == ("request", "BYTES", [1])
    raw_ids, raw_body = request.raw_input_contents
    (n_ids,) = input_ids.shape
    (length,) = struct.unpack_from("<I", raw_body)
    assert len(raw_body) == 4 + length
    return Asked(
        request.model_name,
        struct.unpack(f"<{n_ids}i", raw_ids),
        wire.GenerateRequest.FromString(raw_body[4:]),
    )
