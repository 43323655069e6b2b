"""A TCP link to Redis that can be moved to another server, and made to fail.

It runs in a thread of its own. Gateways know its address only, as they would know
that of a Service; what happens behind it they notice by lost connections.
"""

from __future__ import annotations

import asyncio
import random
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

RESET_PROBABILITY = 0.004  # of each answer that passes
STALL_PROBABILITY = 0.002
STALL_S = 0.4  # longer than a gateway waits for an answer


class Link:
    """A context manager. `target` is the port that new connections reach; 0 refuses them."""

    def __init__(self, target: int, *, seed: int) -> None:
        self.target = target
        self.lossy = False
        self.port = 0
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)

    def cut(self) -> None:
        """Break all connections there are."""
        self._loop.call_soon_threadsafe(self._abort)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        self._abort()
        server.close()

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        mine = {writer, back}
        self._writers |= mine
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass_on(reader, back))
                tasks.create_task(self._answers(there, writer))
        except* OSError:
            pass
        finally:
            self._writers -= mine
            for each in mine:
                with suppress(OSError):
                    each.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError  # the other direction ends as well

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.lossy:
                chance = self._random.random()
                if chance < RESET_PROBABILITY:
                    raise ConnectionResetError  # Redis has done it, and nobody hears so
                if chance < RESET_PROBABILITY + STALL_PROBABILITY:
                    await asyncio.sleep(STALL_S)
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError
