"""Many generations on one stream: all that is said comes, in order, and each can be left alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.workers.played import (
    TRICKLE,
    BrokenChannel,
    PlayedChannel,
    PlayedEngine,
    running_worker,
    submit,
    until,
)
from tests.workers.triton_client import Answer, greedy
from wire.v1 import generation_pb2 as wire
from workers.settings import WorkerSettings
from workers.worker import Worker

_QUICK = WorkerSettings(cancel_poll_ms=10)


class _Gateway:
    """Reads one shared stream, and tells its generations apart."""

    def __init__(self, worker: Worker, name: str = "s-1") -> None:
        self.name = name
        self.channel = PlayedChannel()
        self.messages: list[wire.GenerateChunk] = []
        self.answers: dict[int, Answer] = {}
        self._worker = worker
        request = wire.GenerateRequest(request_id=name, shared_stream=True)
        worker.submit([0], request.SerializeToString(), self.channel)

    def ask(
        self, number: int, play: str = "", *, interval_ms: int = 0, there: bool = False
    ) -> PlayedChannel:
        """One more generation, asked for *there* or on its own stream: what is returned."""
        self.answers[number] = Answer()
        delivery = wire.Delivery(
            shared_stream=self.name, number=number, interval_ms=interval_ms, asked_there=there
        )
        channel = submit(self._worker, play, delivery=delivery)
        if there:  # then it has none, and can tell of no cancellation
            channel.is_lost = True
        return channel

    def cancel(self, *numbers: int) -> PlayedChannel:
        channel = PlayedChannel()
        request = wire.GenerateRequest(request_id=self.name, cancel=numbers)
        self._worker.submit([0], request.SerializeToString(), channel)
        return channel

    def read(self) -> wire.GenerateChunk:
        """The next message."""
        blob, final = self.channel.next()
        message = wire.GenerateChunk.FromString(blob)
        assert message.seq == len(self.messages)
        assert message.HasField("started") == (message.seq == 0)
        assert final == (message.HasField("finished") or message.HasField("error"))
        self.messages.append(message)
        for shared in message.shared:
            chunk = wire.GenerateChunk.FromString(shared.chunk)
            answer = self.answers[shared.number]
            answer.chunks.append(chunk)
            answer.finals.append(chunk.HasField("finished") or chunk.HasField("error"))
        return message

    def whole(self, number: int) -> Answer:
        """Read until the generation of this number has ended, and check it."""
        answer = self.answers[number]
        while not (answer.finals and answer.finals[-1]):
            self.read()
        answer.check_contract()
        return answer


@contextmanager
def _shared(settings: WorkerSettings = _QUICK) -> Iterator[tuple[Worker, _Gateway]]:
    with running_worker(settings) as worker:
        gateway = _Gateway(worker)
        assert gateway.read().started.engine == "played"
        yield worker, gateway


def test_all_chunks_come_there_and_the_own_stream_ends_without_a_word() -> None:
    with _shared() as (_, gateway):
        own = gateway.ask(7)

        answer = gateway.whole(7)

        assert answer.token_ids == [5, 200002]
        assert answer.finished.reason == wire.Finished.STOP
        assert own.next() == (b"", True)


def test_what_many_have_to_say_at_once_comes_in_few_messages() -> None:
    with _shared() as (_, gateway):
        for number in range(100):
            gateway.ask(number)
        for number in range(100):
            assert gateway.whole(number).token_ids == [5, 200002]

    assert len(gateway.messages) < 100


def test_what_is_said_in_between_is_gathered() -> None:
    with _shared() as (_, gateway):
        for number in range(20):
            gateway.ask(number, "trickle")
        answers = [gateway.whole(number) for number in range(20)]

    for answer in answers:
        assert answer.token_ids == [*range(TRICKLE), 5, 200002]
    chunks = sum(len(answer.chunks) for answer in answers)
    assert len(gateway.messages) < chunks / 2


def test_what_nobody_reads_as_it_comes_waits_for_its_end() -> None:
    with _shared() as (_, gateway):
        gateway.ask(1, "trickle", interval_ms=60_000)
        gateway.ask(2, "trickle")
        waits, goes = gateway.whole(1), gateway.whole(2)

    assert waits.token_ids == goes.token_ids == [*range(TRICKLE), 5, 200002]
    assert len(waits.chunks) == 1 < len(goes.chunks)


def test_what_is_gathered_does_not_wait_for_more() -> None:
    with _shared(WorkerSettings(cancel_poll_ms=60_000)) as (_, gateway):
        gateway.ask(1, "pause")
        while gateway.answers[1].token_ids != [0, 1]:
            gateway.read()


def test_a_stream_that_is_not_known_is_no_reason_to_say_nothing() -> None:
    with _shared() as (worker, _):
        own = submit(worker, delivery=wire.Delivery(shared_stream="another", number=1))

        assert own.answer().token_ids == [5, 200002]


def test_what_is_refused_is_refused_on_its_own_stream() -> None:
    with _shared(WorkerSettings(max_running=1, max_queued=0)) as (_, gateway):
        gateway.ask(1, "wait")

        assert gateway.ask(2).answer().error.code == wire.Error.OVERLOADED


def test_who_leaves_its_own_stream_harms_nobody_else() -> None:
    with _shared() as (_, gateway):
        own = gateway.ask(1, "wait")
        gateway.ask(2, "wait")
        own.has_cancelled.set()

        assert gateway.whole(1).finished.reason == wire.Finished.CANCELLED
        gateway.ask(3)
        gateway.whole(3)
        assert True not in gateway.answers[2].finals


def test_who_leaves_the_shared_stream_leaves_all_that_were_there() -> None:
    with _shared() as (worker, gateway):
        own = [gateway.ask(number, "wait") for number in range(3)]
        alone = submit(worker, "wait")
        until(lambda: worker.load().running == 4)
        gateway.channel.has_cancelled.set()

        for each in own:
            assert each.next() == (b"", True)
        until(lambda: worker.load().running == 1)
        # Those that come too late for it are not lost.
        late = submit(worker, delivery=wire.Delivery(shared_stream=gateway.name, number=9))
        assert late.answer().token_ids == [5, 200002]
        alone.has_cancelled.set()


def test_a_generation_that_waits_sends_heartbeats_there() -> None:
    with _shared(WorkerSettings(cancel_poll_ms=10, heartbeat_ms=50)) as (_, gateway):
        gateway.ask(1, "wait")
        answer = gateway.answers[1]
        while len(answer.chunks) < 3:
            gateway.read()

        assert not answer.token_ids


def test_a_stream_that_nobody_uses_sends_heartbeats() -> None:
    with _shared(WorkerSettings(cancel_poll_ms=10, heartbeat_ms=50)) as (_, gateway):
        assert not gateway.read().shared


def test_a_drain_ends_the_stream_behind_the_last_generation(tmp_path: Path) -> None:
    drain_file = tmp_path / "drain"
    settings = WorkerSettings(cancel_poll_ms=10, drain_file=drain_file, drain_ms=10_000)
    with _shared(settings) as (worker, gateway):
        own = gateway.ask(1, "wait")
        drain_file.touch()
        until(lambda: worker.load().draining)
        another = _Gateway(worker, "s-2")
        assert another.channel.answer().error.code == wire.Error.DRAINING
        own.has_cancelled.set()
        gateway.whole(1)
        while not gateway.messages[-1].HasField("error"):
            gateway.read()

        assert gateway.messages[-1].error.code == wire.Error.DRAINING


def test_closing_delivers_the_last_words_of_all() -> None:
    with _shared() as (_, gateway):
        for number in range(20):
            gateway.ask(number, "wait")

    for number in range(20):
        assert gateway.whole(number).error.code == wire.Error.DRAINING
    while not gateway.messages[-1].HasField("error"):
        gateway.read()


def test_a_stream_that_breaks_harms_only_those_that_share_it() -> None:
    with running_worker(_QUICK) as worker:
        broken = BrokenChannel()
        request = wire.GenerateRequest(request_id="broken", shared_stream=True)
        worker.submit([0], request.SerializeToString(), broken)
        broken.next()
        there = submit(worker, delivery=wire.Delivery(shared_stream="broken", number=1))

        # Nothing of it came; but its own stream ends, so that somebody notices.
        assert there.next() == (b"", True)
        assert submit(worker).answer().token_ids == [5, 200002]


def test_an_engine_that_says_nonsense_of_one_harms_no_other() -> None:
    with _shared() as (worker, gateway):
        own = gateway.ask(1, "say what is no token")
        gateway.ask(2)

        assert gateway.whole(2).token_ids == [5, 200002]
        while not gateway.answers[1].chunks:
            gateway.read()
        assert gateway.answers[1].chunks[0].error.code == wire.Error.ENGINE_FAILED
        assert own.next() == (b"", True)
        until(lambda: worker.load().running == 0)


def test_a_stream_has_a_name_of_its_own() -> None:
    with _shared() as (worker, gateway):
        for name in ("", gateway.name):
            request = wire.GenerateRequest(request_id=name, shared_stream=True)
            channel = PlayedChannel()
            worker.submit([0], request.SerializeToString(), channel)
            assert channel.answer().error.code == wire.Error.INVALID_ARGUMENT
        assert submit(worker).answer().token_ids == [5, 200002]


def test_nothing_of_the_engine_is_left_running() -> None:
    engine = PlayedEngine()
    with running_worker(_QUICK, engine=engine) as worker:
        gateway = _Gateway(worker)
        gateway.read()
        gateway.ask(1, "give up slowly")
        until(lambda: engine.running == 1)
        gateway.channel.has_cancelled.set()
        until(lambda: engine.running == 0)

    assert engine.gave_up_in_peace == 1


# --- generations that are asked for there -----------------------------------------


def test_a_worker_says_that_it_takes_requests_there_when_it_is_asked_how_it_is() -> None:
    with running_worker() as worker:
        channel = PlayedChannel()
        worker.submit([0], wire.GenerateRequest(ping=True).SerializeToString(), channel)
        assert channel.answer().chunks[0].started.takes_requests


def test_all_that_is_said_of_what_was_asked_for_there_is_said_there() -> None:
    with _shared() as (_, gateway):
        request = gateway.ask(7, there=True)

        assert gateway.whole(7).token_ids == [5, 200002]
        assert request.next() == (b"", True)


@pytest.mark.parametrize("prompt", [[1], []], ids=["no room for it", "it breaks the contract"])
def test_a_refusal_is_said_there_too(prompt: list[int]) -> None:
    with _shared(WorkerSettings(max_running=1, max_queued=0)) as (worker, gateway):
        gateway.ask(1, "wait", there=True)
        gateway.answers[2] = Answer()
        delivery = wire.Delivery(shared_stream=gateway.name, number=2, asked_there=True)
        request = PlayedChannel()
        worker.submit(prompt, greedy(delivery=delivery).SerializeToString(), request)

        expected = wire.Error.OVERLOADED if prompt else wire.Error.INVALID_ARGUMENT
        assert gateway.whole(2).error.code == expected
        assert request.next() == (b"", True)


def test_who_is_cancelled_there_is_alone_in_it() -> None:
    with _shared(WorkerSettings(cancel_poll_ms=60_000)) as (worker, gateway):
        for number in range(4):
            gateway.ask(number, "wait", there=True)
        until(lambda: worker.load().running == 4)

        # Some are over, or never were.
        assert gateway.cancel(0, 2, 17).next() == (b"", True)
        for number in (0, 2):
            assert gateway.whole(number).finished.reason == wire.Finished.CANCELLED
        gateway.cancel(0)
        gateway.ask(5, there=True)
        gateway.whole(5)
        assert worker.load().running == 2
        gateway.cancel(1, 3)
        until(lambda: worker.load().running == 0)


def test_what_has_just_been_asked_for_can_be_cancelled() -> None:
    with _shared(WorkerSettings(cancel_poll_ms=60_000)) as (worker, gateway):
        for number in range(200):
            gateway.ask(number, "wait", there=True)
            gateway.cancel(number)
        for number in range(200):
            assert gateway.whole(number).finished.reason == wire.Finished.CANCELLED
        assert worker.load().running == 0


def test_a_name_that_is_not_known_cancels_nothing() -> None:
    with _shared() as (worker, gateway):
        gateway.ask(1, "wait", there=True)
        gateway.name, name = "another", gateway.name
        gateway.cancel(1).next()
        gateway.name = name
        gateway.ask(2, there=True)
        gateway.whole(2)
        assert worker.load().running == 1


def test_who_leaves_the_stream_leaves_all_that_was_asked_for_there() -> None:
    with _shared() as (worker, gateway):
        requests = [gateway.ask(number, "wait", there=True) for number in range(3)]
        until(lambda: worker.load().running == 3)
        gateway.channel.has_cancelled.set()

        for each in requests:
            assert each.next() == (b"", True)
        until(lambda: worker.load().running == 0)


def test_what_is_asked_for_on_a_stream_that_is_over_is_not_generated() -> None:
    with _shared() as (worker, gateway):
        gateway.channel.has_cancelled.set()
        while not gateway.messages[-1].HasField("finished"):
            gateway.read()

        assert gateway.ask(1, "wait", there=True).next() == (b"", True)
        assert worker.load().running == 0


def test_what_came_when_its_stream_was_just_ending_is_not_generated_for_nobody() -> None:
    with _shared() as (worker, gateway):
        gateway.ask(1, "wait", there=True)
        until(lambda: worker.load().running == 1)
        worker._shared[gateway.name].end(wire.Error(code=wire.Error.DRAINING))

        until(lambda: worker.load().running == 0)
