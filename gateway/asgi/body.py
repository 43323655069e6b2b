"""Read the body of a request: bounded in size and in time, a long one beside the event loop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import anyio
from starlette.requests import Request

from gateway.beside_the_loop import BesideTheLoop
from gateway.responses.errors import (
    body_too_large,
    request_timeout,
    too_many_bodies,
    unsupported_media_type,
)
from gateway.responses.json_body import parse_json_object

# Parsed and validated on the loop in about 1 ms.
MAX_BYTES_ON_LOOP = 65_536

# Of the budget, one part in so many for a project.
PROJECT_SHARE = 4

Read = TypeVar("Read")


class BodyBudget:
    """Bytes of bodies in memory, of all requests: stalled uploads, and long ones that wait for
    their turn to be read, would fill it.

    A project has a quarter of it, so that it cannot shut out the others.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held_bytes: Counter[str] = Counter()

    def take(self, project_id: str, size: int) -> bool:
        """False, and nothing is taken, when that is more than is left."""
        if (
            self._held_bytes[project_id] + size > self._max_bytes // PROJECT_SHARE
            or self._held_bytes.total() + size > self._max_bytes
        ):
            return False
        self._held_bytes[project_id] += size
        return True

    def give_back(self, project_id: str, size: int) -> None:
        self._held_bytes[project_id] -= size
        assert self._held_bytes[project_id] >= 0
        if not self._held_bytes[project_id]:
            del self._held_bytes[project_id]


class Body:
    """A body that has arrived, and its place in the budget: a context manager, which gives that
    back at its end, unless `release` has done so before."""

    def __init__(self, data: bytes, project_id: str, budget: BodyBudget) -> None:
        self.length = len(data)
        self.is_short = len(data) <= MAX_BYTES_ON_LOOP
        self._data: bytes | None = data
        self._project_id = project_id
        self._budget = budget
        self._held_bytes = len(data)

    def take_data(self) -> bytes:
        """What it says, once: whoever has read it needs no second copy in memory."""
        data, self._data = self._data, None
        assert data is not None
        return data

    def release(self) -> None:
        """What was read of it has become a prompt: nothing large is left. May be repeated."""
        self._budget.give_back(self._project_id, self._held_bytes)
        self._held_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


@dataclass(frozen=True, slots=True)
class BodyLimits:
    max_bytes: int
    timeout_s: float
    budget: BodyBudget


class Bodies:
    """What requests say."""

    def __init__(self, limits: BodyLimits, beside_the_loop: BesideTheLoop) -> None:
        self._limits = limits
        self._beside_the_loop = beside_the_loop

    async def receive(self, request: Request, project_id: str) -> Body:
        """Raises ApiError (408, 413, 415, 429), or starlette's ClientDisconnect."""
        return await receive_json_body(request, project_id, self._limits)

    async def read(
        self, body: Body, project_id: str, meaning: Callable[[Mapping[str, object]], Read]
    ) -> Read:
        """What *meaning* makes of the object in *body*. Raises ApiError: 400, and as it does."""

        def work() -> Read:
            return meaning(parse_json_object(body.take_data()))

        if body.is_short:
            return work()
        return await self._beside_the_loop.run(project_id, work)


async def receive_json_body(request: Request, project_id: str, limits: BodyLimits) -> Body:
    """Raises ApiError (408, 413, 415, 429), or starlette's ClientDisconnect."""
    _check_headers(request, limits)
    # Not a list of chunks: 42 bytes each for a client that sends one at a time.
    data = bytearray()
    try:
        with anyio.move_on_after(limits.timeout_s) as reading:
            async for chunk in request.stream():
                if len(data) + len(chunk) > limits.max_bytes:
                    raise body_too_large(limits.max_bytes)
                # As they come: a length that is only announced would be taken by who lies.
                if not limits.budget.take(project_id, len(chunk)):
                    raise too_many_bodies()
                data += chunk
        if reading.cancelled_caught:
            raise request_timeout()
    except BaseException:
        limits.budget.give_back(project_id, len(data))
        raise
    return Body(bytes(data), project_id, limits.budget)


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
