"""The worker around a played engine: every generation ends once, whatever happens."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.workers.triton_client import Answer, greedy
from wire.v1 import generation_pb2 as wire
from workers.engine import Busy, Ending, EngineLoad, EngineRequest, InvalidRequest, Sink, Stopped
from workers.live import Tally
from workers.settings import WorkerSettings
from workers.worker import Worker

_PATIENCE_S = 10
_SETTINGS = WorkerSettings(cancel_poll_ms=10)


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
                    await asyncio.sleep(20 * _SETTINGS.cancel_poll_ms / 1000)
                    self.gave_up_in_peace += 1
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

    def cancelled(self) -> bool:
        if self.is_lost:
            raise RuntimeError("the way back is lost")
        return self.has_cancelled.is_set()

    def answer(self) -> Answer:
        """All chunks, checked against the contract."""
        answer = Answer()
        while not (answer.finals and answer.finals[-1]):
            blob, final = self.chunks.get(timeout=_PATIENCE_S)
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
def _worker(
    settings: WorkerSettings = _SETTINGS,
    publish: Callable[[EngineLoad, Tally], None] = lambda load, tally: None,
) -> Iterator[Worker]:
    worker = Worker(PlayedEngine(), settings, publish=publish)
    worker.start()
    try:
        yield worker
    finally:
        worker.close()


def _submit(
    worker: Worker,
    play: str = "",
    channel: PlayedChannel | None = None,
    *,
    deadline_unix_ms: int = 0,
) -> PlayedChannel:
    channel = channel or PlayedChannel()
    request = greedy(cache_salt=play, deadline_unix_ms=deadline_unix_ms)
    worker.submit([1, 2, 3], request.SerializeToString(), channel)
    return channel


def _until(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.005)


def test_a_generation_runs_to_its_end_and_is_counted() -> None:
    published: list[Tally] = []
    with _worker(publish=lambda load, tally: published.append(tally)) as worker:
        answer = _submit(worker).answer()
        _until(lambda: bool(published))

    assert answer.token_ids == [5, 200002]
    assert answer.finished.reason == wire.Finished.STOP
    assert published[-1] == Tally(prompt=3, cached=1, completion=2)


@pytest.mark.parametrize(
    ("play", "code", "message"),
    [
        ("refuse", wire.Error.INVALID_ARGUMENT, "no such thing"),
        ("be busy", wire.Error.OVERLOADED, "no time for it"),
        ("break", wire.Error.ENGINE_FAILED, "ZeroDivisionError: played"),
        # Not mistaken for the request's own deadline.
        ("time out", wire.Error.ENGINE_FAILED, "TimeoutError: played"),
    ],
)
def test_what_an_engine_raises_is_said_in_band(
    play: str, code: wire.Error.Code, message: str
) -> None:
    with _worker() as worker:
        error = _submit(worker, play).answer().error

    assert (error.code, error.message) == (code, message)


def test_a_deadline_ends_a_generation() -> None:
    with _worker() as worker:
        soon = round(time.time() * 1000) + 50
        error = _submit(worker, "wait", deadline_unix_ms=soon).answer().error

    assert error.code == wire.Error.DEADLINE


def test_a_gateway_that_cancels_ends_its_generation() -> None:
    with _worker() as worker:
        channel = _submit(worker, "wait")
        channel.has_cancelled.set()

        assert channel.answer().finished.reason == wire.Finished.CANCELLED


def test_a_cancelled_generation_gives_its_place_to_another() -> None:
    with _worker(WorkerSettings(max_running=1, max_queued=0, cancel_poll_ms=10)) as worker:
        first = _submit(worker, "wait")
        assert _submit(worker).answer().error.code == wire.Error.OVERLOADED
        first.has_cancelled.set()
        first.answer()

        assert _submit(worker).answer().finished.reason == wire.Finished.STOP


def test_an_engine_that_gives_up_slowly_is_not_hurried(tmp_path: Path) -> None:
    """It waits for its executor: until then the place is not free."""
    engine = PlayedEngine()
    drain_file = tmp_path / "drain"
    settings = WorkerSettings(cancel_poll_ms=10, drain_ms=0, drain_file=drain_file)
    worker = Worker(engine, settings, publish=lambda load, tally: None)
    worker.start()
    try:
        channel = _submit(worker, "give up slowly")
        _until(lambda: engine.running == 1)
        channel.has_cancelled.set()
        drain_file.touch()
        channel.answer()
        assert (engine.running, engine.gave_up_in_peace) == (0, 1)
    finally:
        worker.close()


def test_a_drain_file_turns_new_work_away_and_ends_old_work_in_time(tmp_path: Path) -> None:
    drain_file = tmp_path / "drain"
    settings = WorkerSettings(cancel_poll_ms=10, drain_file=drain_file, drain_ms=50)
    with _worker(settings) as worker:
        old = _submit(worker, "wait")
        drain_file.touch()
        _until(lambda: worker.load().draining)

        refused = _submit(worker).answer()

        assert refused.error.code == wire.Error.DRAINING
        assert refused.chunks[-1].load.draining
        assert old.answer().error.code == wire.Error.DRAINING


def test_closing_ends_what_is_running_and_delivers_the_last_word() -> None:
    with _worker() as worker:
        channels = [_submit(worker, "wait") for _ in range(20)]

    for channel in channels:
        assert channel.answer().error.code == wire.Error.DRAINING


def test_a_channel_that_breaks_harms_nobody_else() -> None:
    with _worker() as worker:
        _submit(worker, channel=BrokenChannel()).answer()

        assert _submit(worker).answer().finished.reason == wire.Finished.STOP


def test_a_channel_that_cannot_be_asked_keeps_nobody_else_from_being_cancelled() -> None:
    with _worker(WorkerSettings(cancel_poll_ms=10)) as worker:
        lost, other = _submit(worker, "wait"), _submit(worker, "wait")
        lost.is_lost = True
        other.has_cancelled.set()

        assert other.answer().finished.reason == wire.Finished.CANCELLED
        assert lost.answer().finished.reason == wire.Finished.CANCELLED


def test_an_engine_that_does_not_load_stops_the_start() -> None:
    class Unloadable(PlayedEngine):
        async def load(self) -> None:
            raise RuntimeError("no weights")

    worker = Worker(Unloadable(), WorkerSettings(), publish=lambda load, tally: None)

    with pytest.raises(RuntimeError, match="no weights"):
        worker.start()
