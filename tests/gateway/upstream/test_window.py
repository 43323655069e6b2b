"""How many generations a worker runs at once, as it tells and as we learn."""

from __future__ import annotations

from gateway.upstream.window import LASTING_S, NEWS_S, UNSAID, Window
from wire.v1.generation_pb2 import WorkerLoad


def load(running: int, queued: int = 0, *, max_running: int = 64) -> WorkerLoad:
    return WorkerLoad(running=running, queued=queued, max_running=max_running)


def window(*heard: WorkerLoad, ours: int = 0) -> Window:
    window = Window()
    for each in heard:
        window.heard(each, ours=ours, now=0.0)
    return window


def test_it_is_as_large_as_the_worker_says() -> None:
    assert window().size() == UNSAID
    assert window(load(0)).size() == 64
    assert window(load(0), load(0, max_running=32)).size() == 32
    assert window(WorkerLoad(running=5)).size() == UNSAID


def test_what_others_have_there_is_not_free() -> None:
    assert window(load(10), ours=10).free(ours=10, now=1) == 54
    assert window(load(30), ours=10).free(ours=10, now=1) == 34
    assert window(load(30), ours=10).free(ours=9, now=1) == 35, "one of ours has ended since"
    assert window(load(3), ours=10).free(ours=10, now=1) == 54, "some have not arrived yet"
    assert window(load(30), ours=10).free(ours=10, now=NEWS_S) == 54, "that is long ago"


def test_a_queue_that_lasts_shows_how_many_there_is_room_for() -> None:
    learning = window(load(20, 9))
    assert learning.size() == 64, "they may have arrived in this very moment"
    learning.heard(load(19, 8), ours=0, now=LASTING_S - 0.01)
    assert learning.size() == 64
    learning.heard(load(20, 8), ours=0, now=LASTING_S)
    assert learning.size() == 20
    learning.heard(load(18, 12), ours=0, now=1)
    assert learning.size() == 18
    learning.heard(load(0, 12), ours=0, now=2)
    assert learning.size() == 1, "never none at all"


def test_a_queue_that_goes_by_shows_nothing() -> None:
    learning = window(load(20, 9))
    learning.heard(load(29), ours=0, now=0.4)
    learning.heard(load(20, 9), ours=0, now=LASTING_S)
    assert learning.size() == 64
    learning.heard(load(32, 2), ours=0, now=9)
    learning.heard(load(32, 2), ours=0, now=99)
    assert learning.size() == 64, "so few are those that arrive between two steps"


def test_when_nobody_waits_a_few_more_are_tried() -> None:
    learning = window(load(20, 9))
    learning.heard(load(20, 9), ours=0, now=1)
    assert learning.size() == 20
    learning.heard(load(10), ours=0, now=2)
    assert learning.size() == 20, "it was not full"
    learning.heard(load(20), ours=0, now=3)
    assert learning.size() == 21
    learning.heard(load(63), ours=0, now=4)
    assert learning.size() == 64
    learning.heard(load(64), ours=0, now=5)
    assert learning.size() == 64, "as many as it has places"


def test_a_worker_is_full_a_little_beyond_its_size_or_when_it_queues() -> None:
    at_64 = window(load(64), ours=64)
    assert not at_64.full(ours=65, now=1)
    assert at_64.full(ours=66, now=1)
    queueing = window(load(10, 5), ours=15)
    assert queueing.full(ours=15, now=1)
    assert not queueing.full(ours=15, now=NEWS_S), "that is long ago"


def test_a_worker_that_is_still_taking_up_what_has_come_is_not_full() -> None:
    learning = window(load(1, 63))
    for second in range(1, 10):
        learning.heard(load(1 + 5 * second, 63 - 5 * second), ours=64, now=second)
        assert learning.size() == 64
    learning.heard(load(46, 18), ours=64, now=9 + LASTING_S)
    assert learning.size() == 46, "no more have begun for half a second"
