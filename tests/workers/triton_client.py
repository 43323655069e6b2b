"""A gateway in miniature: raw grpc.aio, one ModelStreamInfer stream a generation, or a shared one."""

from __future__ import annotations

import array
import asyncio
import re
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import grpc
import httpx
from tritonclient.grpc import service_pb2

from tests.stack.triton import TritonPorts
from tests.workers.prompts import STOP_TOKEN_IDS
from wire.v1 import generation_pb2 as wire
from workers.engines.simulator.tokenizer import Tokenizer

_METHOD = "/inference.GRPCInferenceService/ModelStreamInfer"


def greedy(**fields: Any) -> wire.GenerateRequest:
    """A valid request, but for *fields*."""
    defaults = {
        "request_id": "r-1",
        "max_tokens": 1000,
        "sampling": wire.Sampling(temperature=0, top_p=1),
        "stop_token_ids": STOP_TOKEN_IDS,
    }
    return wire.GenerateRequest(**{**defaults, **fields})


def model_infer_request(prompt: list[int], blob: bytes) -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(model_name="gpt-oss-120b")
    request.inputs.add(name="input_ids", datatype="INT32", shape=[len(prompt)])
    request.inputs.add(name="request", datatype="BYTES", shape=[1])
    request.raw_input_contents.append(array.array("i", prompt).tobytes())
    request.raw_input_contents.append(struct.pack("<I", len(blob)) + blob)
    return request


@dataclass
class Answer:
    """All chunks of one generation, and which of them Triton flagged as final."""

    chunks: list[wire.GenerateChunk] = field(default_factory=list)
    finals: list[bool] = field(default_factory=list)

    @property
    def token_ids(self) -> list[int]:
        return [token_id for chunk in self.chunks for token_id in chunk.token_ids]

    @property
    def finished(self) -> wire.Finished:
        assert self.chunks[-1].HasField("finished"), self.chunks[-1]
        return self.chunks[-1].finished

    @property
    def error(self) -> wire.Error:
        assert self.chunks[-1].HasField("error"), self.chunks[-1]
        return self.chunks[-1].error

    def check_contract(self) -> None:
        """What proto/wire/v1/generation.proto says about the chunks of a generation."""
        last = len(self.chunks) - 1
        assert [chunk.seq for chunk in self.chunks] == list(range(last + 1))
        for index, (chunk, final) in enumerate(zip(self.chunks, self.finals, strict=True)):
            ends = chunk.HasField("finished") + chunk.HasField("error")
            assert chunk.HasField("started") == (index == 0)
            assert ends == (index == last)
            assert final == (index == last)
            heartbeat = not chunk.token_ids
            assert chunk.HasField("load") == (index == 0 or index == last or heartbeat)
        if self.chunks[-1].HasField("finished"):
            assert self.finished.completion_tokens == len(self.token_ids)


class Stream:
    """One generation under way, or several that share it."""

    def __init__(self, call: Any, encode: Callable[[str | list[int]], list[int]]) -> None:
        self._call = call
        self._encode = encode

    async def ask(self, prompt: str | list[int], request: wire.GenerateRequest | bytes) -> None:
        """One more request of this stream."""
        blob = request if isinstance(request, bytes) else request.SerializeToString()
        await self.write(model_infer_request(self._encode(prompt), blob))

    async def write(self, request: service_pb2.ModelInferRequest) -> None:
        await self._call.write(request)

    def cancel(self) -> None:
        self._call.cancel()

    async def receive(self) -> tuple[wire.GenerateChunk, bool] | None:
        """The next chunk, and whether it is final; None at the end of the stream."""
        response = await self.answer()
        if response is grpc.aio.EOF:
            return None
        assert not response.error_message, response.error_message
        (content,) = response.infer_response.raw_output_contents
        (length,) = struct.unpack_from("<I", content)
        assert len(content) == 4 + length
        chunk = wire.GenerateChunk.FromString(content[4:])
        return chunk, response.infer_response.parameters["triton_final_response"].bool_param

    async def answer(self) -> Any:
        """What Triton says next: a ModelStreamInferResponse, or grpc.aio.EOF."""
        return await self._call.read()

    async def rest(self) -> Answer:
        answer = Answer()
        while (received := await self.receive()) is not None:
            answer.chunks.append(received[0])
            answer.finals.append(received[1])
        return answer


class TritonClient:
    """A connection to one worker."""

    def __init__(self, ports: TritonPorts, tokenizer: Tokenizer) -> None:
        self._metrics_url = f"http://127.0.0.1:{ports.metrics}/metrics"
        self._tokenizer = tokenizer
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{ports.grpc}")
        self._http = httpx.AsyncClient()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._channel.close()
        await self._http.aclose()

    @asynccontextmanager
    async def stream(
        self,
        prompt: str | list[int],
        request: wire.GenerateRequest | bytes,
        *,
        more: bool = False,
    ) -> AsyncIterator[Stream]:
        """Begin a generation, or one of *more*; leaving the block cancels what is under way."""
        call = self._channel.stream_stream(
            _METHOD,
            request_serializer=service_pb2.ModelInferRequest.SerializeToString,
            response_deserializer=service_pb2.ModelStreamInferResponse.FromString,
        )()
        try:
            stream = Stream(call, self._encode)
            await stream.ask(prompt, request)
            if not more:
                await call.done_writing()
            yield stream
        finally:
            call.cancel()

    async def generate(
        self, prompt: str | list[int], request: wire.GenerateRequest | bytes
    ) -> Answer:
        """A whole generation, checked against the contract."""
        async with self.stream(prompt, request) as stream:
            answer = await stream.rest()
        answer.check_contract()
        return answer

    def _encode(self, prompt: str | list[int]) -> list[int]:
        return self._tokenizer.encode_harmony(prompt) if isinstance(prompt, str) else prompt

    async def metric(self, series: str) -> float:
        """The value of a series, labels included in its name."""
        text = (await self._http.get(self._metrics_url)).text
        match = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
        assert match, f"no {series} in {text}"
        return float(match[1])

    async def until(self, series: str, wanted: Callable[[float], bool]) -> None:
        """Wait until the series has a wanted value; the test's own time limit applies."""
        while not wanted(await self.metric(series)):  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.01)

    async def idle(self) -> None:
        for series in ("worker_running_requests", "worker_queued_requests"):
            await self.until(series, lambda value: value == 0)
