"""Read the body of a request: bounded in size and in time, a long one beside the event loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import anyio
from starlette.requests import Request

from gateway.beside_the_loop import BesideTheLoop
from gateway.responses.errors import body_timeout, body_too_large, unsupported_media_type
from gateway.responses.json_body import parse_json_object

# Parsed and validated on the loop in about 1 ms.
MAX_BYTES_ON_LOOP = 65_536

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class BodyLimits:
    max_bytes: int
    timeout_s: float


class Bodies:
    """What requests say."""

    def __init__(self, limits: BodyLimits, beside_the_loop: BesideTheLoop) -> None:
        self._limits = limits
        self._beside_the_loop = beside_the_loop

    async def receive(self, request: Request) -> bytes:
        """Raises ApiError (408, 413, 415), or starlette's ClientDisconnect."""
        return await read_json_body(request, self._limits)

    async def read(
        self, body: bytes, project_id: str, meaning: Callable[[Mapping[str, object]], Read]
    ) -> Read:
        """What *meaning* makes of the object in *body*. Raises ApiError: 400, and as it does."""

        def work() -> Read:
            return meaning(parse_json_object(body))

        if len(body) <= MAX_BYTES_ON_LOOP:
            return work()
        return await self._beside_the_loop.run(project_id, work)


async def read_json_body(request: Request, limits: BodyLimits) -> bytes:
    """Raises ApiError (408, 413, 415), or starlette's ClientDisconnect."""
    _check_headers(request, limits)
    chunks: list[bytes] = []
    size = 0
    try:
        with anyio.fail_after(limits.timeout_s):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limits.max_bytes:
                    raise body_too_large(limits.max_bytes)
                chunks.append(chunk)
    except TimeoutError as exc:
        raise body_timeout() from exc
    return b"".join(chunks)


def _check_headers(request: Request, limits: BodyLimits) -> None:
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise unsupported_media_type(
            "Compressed bodies are not supported: send the JSON without Content-Encoding."
        )
    media_type = request.headers.get("content-type", "application/json")
    if "json" not in media_type.lower():
        raise unsupported_media_type(
            "The body must be JSON: send it with the header 'Content-Type: application/json'."
        )
    length = request.headers.get("content-length", "")
    # Refused before it is read; a body of unknown length is counted as it comes.
    if length.isascii() and length.isdigit() and int(length) > limits.max_bytes:
        raise body_too_large(limits.max_bytes)
