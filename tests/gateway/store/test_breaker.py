"""When Redis is asked, and when no longer."""

from __future__ import annotations

import pytest

from gateway.store.breaker import Breaker


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(monotonic=clock)


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.failed()


def test_it_opens_after_five_failures_in_a_row(breaker: Breaker) -> None:
    fail(breaker, 4)
    breaker.succeeded()
    fail(breaker, 4)
    assert not breaker.is_open
    fail(breaker, 1)
    assert breaker.is_open


def test_it_opens_when_most_calls_of_a_second_fail(breaker: Breaker, clock: Clock) -> None:
    for _ in range(4):
        breaker.failed()
        breaker.succeeded()
    assert not breaker.is_open
    breaker.failed()
    breaker.failed()
    assert breaker.is_open


def test_failures_are_forgotten_after_a_second(breaker: Breaker, clock: Clock) -> None:
    for _ in range(20):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
        breaker.succeeded()
        clock.now += 0.6
    assert not breaker.is_open


def test_it_closes_after_three_good_probes_in_a_row(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now += 7
    assert breaker.open_for_s == 7
    for answered in (True, True, False, True, True):
        breaker.probed(answered=answered)
        assert breaker.is_open
    assert breaker.is_closing
    breaker.probed(answered=True)
    assert not breaker.is_open
    assert breaker.open_for_s == 0
    fail(breaker, 4)
    assert not breaker.is_open


def test_old_answers_change_nothing_while_it_is_open(breaker: Breaker) -> None:
    fail(breaker, 5)
    breaker.succeeded()
    breaker.failed()
    assert breaker.is_open
    assert not breaker.is_closing
