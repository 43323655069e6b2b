"""The address of a Service, on loopback: each connection leads to one of the pods that have traffic."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Service:
    """A context manager; *pick* says the port of a pod, for each connection anew."""

    def __init__(self, pick: Callable[[], int]) -> None:
        self.port = 0
        self._pick = pick
        self._loop = asyncio.new_event_loop()
        # The loop itself would forget them.
        self._serving: set[asyncio.Task[None]] = set()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run)

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
        async def begin() -> asyncio.Server:
            return await asyncio.start_server(self._serve, "127.0.0.1", 0)

        server = self._loop.run_until_complete(begin())
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(self._end_all())
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.current_task()
        assert serving is not None
        self._serving.add(serving)
        ends = [writer]
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._pick())
            ends.append(back)
            await asyncio.gather(_pass_on(reader, back, ends), _pass_on(there, writer, ends))
        except OSError:
            pass  # whoever is at the other end finds its connection closed
        finally:
            for each in ends:
                each.close()
            self._serving.discard(serving)

    async def _end_all(self) -> None:
        for each in self._serving:
            each.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ends: list[asyncio.StreamWriter]
) -> None:
    """Until one end closes; what is under way is still sent."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    for each in ends:
        each.close()
