"""Triton, asked without a gateway; and how any generation is asked for here."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from typing import Any, Self

import grpc

from gateway.generation import Generation, Sampling
from gateway.upstream.codec import ChunkReader, encode_request
from gateway.upstream.kserve import ModelInferRequest, ModelStreamInferResponse
from gateway.upstream.worker import CHANNEL_OPTIONS
from wire.vocabulary import CALL, RETURN


class Direct:
    """A client of one worker. `async with` closes its connection."""

    def __init__(self, worker: str) -> None:
        self._worker = worker

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(self._worker, options=CHANNEL_OPTIONS)
        self._stream_infer = stream_infer(self._channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def first_token_s(self, prompt: Sequence[int]) -> float:
        """One generation; how long its first token took, in seconds."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        asked = generation(prompt)
        call = self._stream_infer(encode_request(asked, model_name="gpt-oss-120b"))
        chunks = ChunkReader(self._worker, asked)
        took_s = 0.0
        while (message := await call.read()) is not grpc.aio.EOF:
            if chunks.receive(message).token_ids and not took_s:
                took_s = loop.time() - began
        return took_s


def stream_infer(channel: grpc.aio.Channel) -> Any:
    """Triton's ModelStreamInfer for one request, as the gateway calls it."""
    return channel.unary_stream(
        "/inference.GRPCInferenceService/ModelStreamInfer",
        request_serializer=ModelInferRequest.SerializeToString,
        response_deserializer=ModelStreamInferResponse.FromString,
    )


def generation(prompt: Sequence[int]) -> Generation:
    """What the gateway would ask for."""
    return Generation(
        request_id=str(uuid.uuid4()),
        prompt=prompt,
        max_output_tokens=100_000,
        sampling=Sampling(),
        stop_token_ids=(RETURN, CALL),
        cache_salt="bench",
        deadline_unix_ms=int((time.time() + 600) * 1000),
    )
