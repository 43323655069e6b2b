"""Outbox: what a generation says, chunk by chunk."""

from __future__ import annotations

import pytest

from wire.v1 import generation_pb2 as wire
from workers.delivery import (
    LONGEST_GATHERING_S,
    LONGEST_INTERVAL_S,
    Outbox,
    State,
    chunk_interval_s,
    gathering_s,
)
from workers.engine import TokenLogprob

LOAD = wire.WorkerLoad(running=1, queued=2, kv_free_ratio=0.5)
STARTED = wire.Started(engine="played", cached_tokens=32, queue_ms=1500, takes_requests=True)


def _outbox() -> Outbox:
    return Outbox(engine="played", arrived_at=10.0, heartbeat_s=5.0)


def _next(outbox: Outbox, now: float = 12.0) -> wire.GenerateChunk | None:
    return outbox.next_chunk(now, lambda: LOAD)


def test_tokens_that_came_since_the_last_chunk_travel_together() -> None:
    outbox = _outbox()
    outbox.start(32, now=11.5)
    outbox.add([1], 12.0)
    outbox.add([2, 3], 12.0)

    assert _next(outbox) == wire.GenerateChunk(token_ids=[1, 2, 3], started=STARTED, load=LOAD)
    assert _next(outbox) is None
    outbox.add([4], 12.0)
    assert _next(outbox) == wire.GenerateChunk(seq=1, token_ids=[4])


def test_log_probabilities_travel_with_their_tokens() -> None:
    outbox = _outbox()
    outbox.start(0, now=11.5)
    outbox.add([1], 12.0, [TokenLogprob(-1.0, ())])
    outbox.add([2, 3], 12.0, [TokenLogprob(-2.0, ()), TokenLogprob(-3.0, ())])

    first = _next(outbox)
    outbox.add([4], 12.0, [TokenLogprob(-4.0, ())])
    second = _next(outbox)

    assert first is not None and second is not None
    assert [each.logprob for each in first.logprobs] == [-1.0, -2.0, -3.0]
    assert [each.logprob for each in second.logprobs] == [-4.0]
    with pytest.raises(AssertionError):
        outbox.add([5, 6], 12.0, [TokenLogprob(-5.0, ())])


def test_the_last_chunk_carries_the_last_tokens_and_all_counts() -> None:
    outbox = _outbox()
    outbox.start(32, now=11.5)
    outbox.add([1, 2], 12.0)
    outbox.end(wire.Finished(reason=wire.Finished.STOP, stop_token_id=2))

    finished = wire.Finished(
        reason=wire.Finished.STOP,
        stop_token_id=2,
        completion_tokens=2,
        cached_tokens=32,
        queue_ms=1500,
    )
    assert _next(outbox) == wire.GenerateChunk(
        token_ids=[1, 2], started=STARTED, finished=finished, load=LOAD
    )
    assert outbox.state is State.OVER
    assert _next(outbox, now=100.0) is None


def test_an_error_before_the_engine_began_is_a_whole_answer() -> None:
    outbox = _outbox()
    outbox.end(wire.Error(code=wire.Error.OVERLOADED))

    started = wire.Started(engine="played", queue_ms=2000, takes_requests=True)
    assert _next(outbox) == wire.GenerateChunk(
        started=started, error=wire.Error(code=wire.Error.OVERLOADED), load=LOAD
    )


def test_silence_of_five_seconds_is_broken_by_a_heartbeat() -> None:
    outbox = _outbox()

    assert _next(outbox, now=14.9) is None
    assert not outbox.heartbeat_due(14.9)
    assert outbox.heartbeat_due(15.0)
    assert _next(outbox, now=15.0) == wire.GenerateChunk(
        started=wire.Started(engine="played", queue_ms=5000, takes_requests=True), load=LOAD
    )
    assert _next(outbox, now=19.9) is None
    assert _next(outbox, now=20.0) == wire.GenerateChunk(seq=1, load=LOAD)


def test_a_silenced_generation_has_no_heartbeats_but_keeps_its_word() -> None:
    outbox = _outbox()
    outbox.start(0, now=11.0)
    outbox.add([1], 12.0)
    outbox.silence()

    chunk = _next(outbox)
    assert chunk is not None and list(chunk.token_ids) == [1]
    assert _next(outbox, now=1000.0) is None


def test_a_generation_ends_once() -> None:
    outbox = _outbox()
    outbox.end(wire.Finished(reason=wire.Finished.CANCELLED))

    with pytest.raises(AssertionError):
        outbox.end(wire.Finished(reason=wire.Finished.LENGTH))
    with pytest.raises(AssertionError):
        outbox.add([1], 12.0)


def test_the_more_generations_are_live_the_longer_each_waits_for_its_next_chunk() -> None:
    assert chunk_interval_s(1, 1000) == 0.001
    assert chunk_interval_s(50, 1000) == 0.05
    assert chunk_interval_s(400, 1000) == LONGEST_INTERVAL_S
    assert chunk_interval_s(400, 0) == 0
    assert gathering_s(5, 1000) == 0.005
    assert gathering_s(400, 1000) == LONGEST_GATHERING_S


def test_first_and_last_words_do_not_wait_and_what_is_between_does() -> None:
    outbox = _outbox()
    assert not outbox.chunk_due(12.0, 0.05), "there is nothing to say"
    outbox.start(0, now=11.5)
    outbox.add([1], 12.0)
    assert outbox.chunk_due(12.0, 0.05)
    _next(outbox, 12.0)
    outbox.add([2], 12.0)
    assert not outbox.chunk_due(12.04, 0.05)
    assert outbox.chunk_due(12.05, 0.05)
    outbox.end(wire.Finished(reason=wire.Finished.STOP))
    assert outbox.chunk_due(12.0, 0.05)


def test_the_first_token_does_not_wait_though_a_heartbeat_was_before_it() -> None:
    outbox = _outbox()
    assert _next(outbox, now=15.0) is not None
    outbox.start(0, now=15.1)
    outbox.add([1], 15.1)
    assert outbox.chunk_due(15.1, 0.5)
    _next(outbox, 15.1)
    outbox.add([2], 15.1)
    assert not outbox.chunk_due(15.2, 0.5)


def test_what_nobody_reads_as_it_comes_holds_the_first_token_back_too_and_says_for_how_long() -> (
    None
):
    outbox = _outbox()
    outbox.patience_s = 0.5
    outbox.start(0, now=11.5)
    outbox.add([1], 12.0)
    assert not outbox.urgent
    assert not outbox.chunk_due(12.25, 0.05)
    assert outbox.chunk_due(12.5, 0.05)
    outbox.add([2], 12.5)

    first = _next(outbox, 12.5)
    outbox.add([3], 12.75)
    assert not outbox.chunk_due(12.75, 0.05)
    assert outbox.chunk_due(13.0, 0.05)
    second = _next(outbox, 13.0)
    assert first is not None and second is not None
    assert (list(first.token_ids), first.first_token_age_ms) == ([1, 2], 500)
    assert (list(second.token_ids), second.first_token_age_ms) == ([3], 0)


@pytest.mark.parametrize(("patience_s", "age_ms"), [(0.0, 0), (0.5, 500)])
def test_a_first_token_that_nobody_held_back_is_as_late_as_it_comes(
    patience_s: float, age_ms: int
) -> None:
    outbox = _outbox()
    outbox.patience_s = patience_s
    outbox.start(0, now=11.5)
    outbox.add([1], 12.0)

    late = _next(outbox, 14.0)  # the senders were busy
    assert late is not None and late.first_token_age_ms == age_ms


def test_nobody_waits_for_the_last_word() -> None:
    outbox = _outbox()
    outbox.patience_s = 0.5
    outbox.start(0, now=11.5)
    outbox.add([1], 12.0)
    outbox.end(wire.Finished(reason=wire.Finished.STOP))

    assert outbox.urgent
    only = _next(outbox, 12.125)
    assert only is not None and only.first_token_age_ms == 125
