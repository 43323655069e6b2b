"""Clients in this process, whose own CPU is not counted."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

# In a request it becomes another number each time: the gateway keeps the tokens of texts that it has seen.
NUMBER = "<number>"
DELTA = b"event: response.output_text.delta"
_numbers = itertools.count()
OPENING = 50  # streams at a time: what a flood of them does is another question


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that can be sent again and again."""

    host: str
    port: int
    head_and_body: bytes

    def once_more(self) -> bytes:
        """The request, unlike all before if there is a NUMBER in it."""
        number = f"{next(_numbers):0{len(NUMBER)}}"
        return self.head_and_body.replace(NUMBER.encode(), number.encode())

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self.host, self.port)


def to_product(url: str, key: str, **fields: object) -> Ask:
    """A response of the product at *url*."""
    body = json.dumps({"model": "gpt-oss-120b", **fields}).encode()
    return _ask(url, "/v1/responses", body, f"authorization: Bearer {key}\r\n")


def to_floor(url: str, prompt: Sequence[int]) -> Ask:
    """The floor's answer to a prompt, token ids."""
    return _ask(url, "/", ",".join(map(str, prompt)).encode())


def _ask(url: str, path: str, body: bytes, headers: str = "") -> Ask:
    parts = urlsplit(url)
    assert parts.hostname is not None and parts.port is not None
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n{headers}\r\n"
    )
    return Ask(parts.hostname, parts.port, head.encode() + body)


class OpenStreams:
    """Streams without end, all read as fast as they come."""

    def __init__(self, ask: Ask, count: int) -> None:
        self.chunks = 0  # events of text so far: one for each chunk of the worker
        self._ask = ask
        self._missing = count  # that have not begun
        self._all_begun = asyncio.Event()
        self._opening = asyncio.Semaphore(OPENING)

    async def begun(self) -> None:
        """Wait until each has brought its first text. Raises TimeoutError."""
        try:
            async with asyncio.timeout(60):
                await self._all_begun.wait()
        except TimeoutError as exc:
            raise TimeoutError(f"{self._missing} streams have brought no text") from exc

    async def read_one(self) -> None:
        """One of them. Raises RuntimeError if it is refused, or ends."""
        reader, writer = await self._ask.connect()
        begun = False
        try:
            async with self._opening:
                writer.write(self._ask.head_and_body)
                head = await reader.readuntil(b"\r\n\r\n")
            if head.split()[1] != b"200":
                raise RuntimeError((head + await reader.read(4096)).decode())
            while data := await reader.read(65_536):
                count = data.count(DELTA)
                if count and not begun:
                    begun = True
                    self._begin()
                self.chunks += count
            raise RuntimeError("a stream without end has ended")
        finally:
            writer.close()

    def _begin(self) -> None:
        self._missing -= 1
        if not self._missing:
            self._all_begun.set()


@asynccontextmanager
async def open_streams(ask: Ask, count: int) -> AsyncIterator[OpenStreams]:
    """So many streams, which have all begun; they are left at the end."""
    streams = OpenStreams(ask, count)
    async with asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(streams.read_one()) for _ in range(count)]
        try:
            await streams.begun()
            yield streams
        finally:
            for reader in readers:
                reader.cancel()


@contextmanager
def left_unread(ask: Ask, count: int) -> Iterator[None]:
    """So many streams that have been asked for, and of which nothing is read."""
    with ExitStack() as connections:
        for _ in range(count):
            connection = connections.enter_context(socket.socket())
            # The kernel should not read it all for them.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((ask.host, ask.port))
            connection.sendall(ask.head_and_body)
        yield


class KeptConnection:
    """One connection, one request after the other."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await self._ask.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def whole(self) -> None:
        """One answer with a content-length. Raises RuntimeError if it is none."""
        self._writer.write(self._ask.once_more())
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        )
        body = await self._reader.readexactly(length)
        if head.split()[1] != b"200":
            raise RuntimeError((head + body).decode())

    async def first_delta_s(self) -> float:
        """One streamed answer; how long its first text took, in seconds."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._writer.write(self._ask.head_and_body)
        await self._reader.readuntil(DELTA)
        took_s = loop.time() - began
        await self._reader.readuntil(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        return took_s
