"""The worker around a played engine: every generation ends once, whatever happens."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.workers.played import (
    TRICKLE,
    BrokenChannel,
    PlayedEngine,
    running_worker,
    submit,
    until,
)
from wire.v1 import generation_pb2 as wire
from workers.live import Tally
from workers.settings import WorkerSettings
from workers.worker import Worker


def test_a_generation_runs_to_its_end_and_is_counted() -> None:
    published: list[Tally] = []
    with running_worker(publish=lambda load, tally: published.append(tally)) as worker:
        answer = submit(worker).answer()
        until(lambda: bool(published))

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
    with running_worker() as worker:
        error = submit(worker, play).answer().error

    assert (error.code, error.message) == (code, message)


def test_what_cannot_be_said_ends_a_generation_and_frees_its_place() -> None:
    with running_worker() as worker:
        answer = submit(worker, "say what is no token").answer()
        until(lambda: worker.load().running == 0)

    assert answer.error.code == wire.Error.ENGINE_FAILED


def test_what_nobody_reads_as_it_comes_is_brought_in_few_messages() -> None:
    with running_worker() as worker:
        channel = submit(worker, "trickle", delivery=wire.Delivery(interval_ms=60_000))
        answer = channel.answer()

    assert answer.token_ids == [*range(TRICKLE), 5, 200002]
    (only,) = answer.chunks
    assert only.HasField("finished")
    assert only.first_token_age_ms > 0


def test_a_deadline_ends_a_generation() -> None:
    with running_worker() as worker:
        soon = round(time.time() * 1000) + 50
        error = submit(worker, "wait", deadline_unix_ms=soon).answer().error

    assert error.code == wire.Error.DEADLINE


def test_a_gateway_that_cancels_ends_its_generation() -> None:
    with running_worker() as worker:
        channel = submit(worker, "wait")
        channel.has_cancelled.set()

        assert channel.answer().finished.reason == wire.Finished.CANCELLED


def test_a_cancelled_generation_gives_its_place_to_another() -> None:
    with running_worker(WorkerSettings(max_running=1, max_queued=0, cancel_poll_ms=10)) as worker:
        first = submit(worker, "wait")
        assert submit(worker).answer().error.code == wire.Error.OVERLOADED
        first.has_cancelled.set()
        first.answer()

        assert submit(worker).answer().finished.reason == wire.Finished.STOP


def test_an_engine_that_gives_up_slowly_is_not_hurried(tmp_path: Path) -> None:
    """It waits for its executor: until then the place is not free."""
    engine = PlayedEngine()
    drain_file = tmp_path / "drain"
    settings = WorkerSettings(cancel_poll_ms=10, drain_ms=0, drain_file=drain_file)
    worker = Worker(engine, settings, publish=lambda load, tally: None)
    worker.start()
    try:
        channel = submit(worker, "give up slowly")
        until(lambda: engine.running == 1)
        channel.has_cancelled.set()
        drain_file.touch()
        channel.answer()
        assert (engine.running, engine.gave_up_in_peace) == (0, 1)
    finally:
        worker.close()


def test_a_drain_file_turns_new_work_away_and_ends_old_work_in_time(tmp_path: Path) -> None:
    drain_file = tmp_path / "drain"
    settings = WorkerSettings(cancel_poll_ms=10, drain_file=drain_file, drain_ms=50)
    with running_worker(settings) as worker:
        old = submit(worker, "wait")
        drain_file.touch()
        until(lambda: worker.load().draining)

        refused = submit(worker).answer()

        assert refused.error.code == wire.Error.DRAINING
        assert refused.chunks[-1].load.draining
        assert old.answer().error.code == wire.Error.DRAINING


def test_closing_ends_what_is_running_and_delivers_the_last_word() -> None:
    with running_worker() as worker:
        channels = [submit(worker, "wait") for _ in range(20)]

    for channel in channels:
        assert channel.answer().error.code == wire.Error.DRAINING


def test_a_channel_that_breaks_harms_nobody_else() -> None:
    with running_worker() as worker:
        submit(worker, channel=BrokenChannel()).answer()

        assert submit(worker).answer().finished.reason == wire.Finished.STOP


def test_a_channel_that_cannot_be_asked_keeps_nobody_else_from_being_cancelled() -> None:
    with running_worker(WorkerSettings(cancel_poll_ms=10)) as worker:
        lost, other = submit(worker, "wait"), submit(worker, "wait")
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
