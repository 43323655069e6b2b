"""A worker around a played engine, and played ways back to gateways."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.workers.triton_client import Answer, greedy
from wire.v1 import generation_pb2 as wire
from workers.engine import Busy, Ending, EngineLoad, EngineRequest, InvalidRequest, Sink, Stopped
from workers.live import Tally
from workers.settings import WorkerSettings
from workers.worker import Worker

PATIENCE_S = 10
TRICKLE = 50
SETTINGS = WorkerSettings(cancel_poll_ms=10)


class PlayedEngine:
    """Does with a request what its cache_salt says."""

    name = "played"

    def __init__(self) -> None:
        self.running = 0
        self.gave_up_in_peace = 0

    async def load(self) -> None:
        pass

    async def generate(self, request: EngineRequest, sink: Sink) -> Ending:
        self.running += 1
        try:
            return await self._play(request, sink)
        finally:
            self.running -= 1

    async def _play(self, request: EngineRequest, sink: Sink) -> Ending:
        match request.cache_salt:
            case "refuse":
                raise InvalidRequest("no such thing")
            case "be busy":
                raise Busy("no time for it")
            case "break":
                sink.started(0)
                sink.tokens([1, 2])
                raise ZeroDivisionError("played")
            case "time out":
                raise TimeoutError("played")
            case "give up slowly":
                sink.started(0)
                try:
                    await asyncio.get_running_loop().create_future()
                finally:
                    await asyncio.sleep(20 * SETTINGS.cancel_poll_ms / 1000)
                    self.gave_up_in_peace += 1
            case "trickle":
                sink.started(0)
                for token_id in range(TRICKLE):
                    sink.tokens([token_id])
                    await asyncio.sleep(0.002)
                sink.tokens([5, 200002])
                return Stopped(200002)
            case "pause":
                sink.started(0)
                for token_id in range(2):
                    sink.tokens([token_id])
                    await asyncio.sleep(0.1)
                await asyncio.get_running_loop().create_future()
            case "say what is no token":
                sink.started(0)
                sink.tokens([-1])
                await asyncio.get_running_loop().create_future()
            case "wait":
                sink.started(0)
                await asyncio.get_running_loop().create_future()
        sink.started(1)
        sink.tokens([5, 200002])
        return Stopped(200002)

    def load_now(self) -> EngineLoad:
        return EngineLoad(self.running, 0, 1.0)

    async def close(self) -> None:
        assert self.running == 0


@dataclass
class PlayedChannel:
    """What a gateway hears."""

    is_lost: bool = False

    chunks: queue.SimpleQueue[tuple[bytes, bool]] = field(default_factory=queue.SimpleQueue)
    has_cancelled: threading.Event = field(default_factory=threading.Event)

    def send(self, blob: bytes, *, final: bool) -> None:
        self.chunks.put((blob, final))

    def end(self) -> None:
        self.chunks.put((b"", True))

    def cancelled(self) -> bool:
        if self.is_lost:
            raise RuntimeError("the way back is lost")
        return self.has_cancelled.is_set()

    def next(self) -> tuple[bytes, bool]:
        """What was sent, and whether nothing follows; no bytes: the stream ended without a word."""
        return self.chunks.get(timeout=PATIENCE_S)

    def answer(self) -> Answer:
        """All chunks, checked against the contract."""
        answer = Answer()
        while not (answer.finals and answer.finals[-1]):
            blob, final = self.next()
            answer.chunks.append(wire.GenerateChunk.FromString(blob))
            answer.finals.append(final)
        answer.check_contract()
        assert self.chunks.empty()
        return answer


class BrokenChannel(PlayedChannel):
    def send(self, blob: bytes, *, final: bool) -> None:
        super().send(blob, final=final)
        raise RuntimeError("played")


@contextmanager
def running_worker(
    settings: WorkerSettings = SETTINGS,
    *,
    engine: PlayedEngine | None = None,
    publish: Callable[[EngineLoad, Tally], None] = lambda load, tally: None,
) -> Iterator[Worker]:
    worker = Worker(engine or PlayedEngine(), settings, publish=publish)
    worker.start()
    try:
        yield worker
    finally:
        worker.close()


def submit(
    worker: Worker,
    play: str = "",
    channel: PlayedChannel | None = None,
    **fields: Any,
) -> PlayedChannel:
    """Ask for a generation; *play*: see PlayedEngine. What is returned is its own stream."""
    channel = channel or PlayedChannel()
    request = greedy(cache_salt=play, **fields)
    worker.submit([1, 2, 3], request.SerializeToString(), channel)
    return channel


def until(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.005)
