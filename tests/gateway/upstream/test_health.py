"""When a worker is available, by what it did before."""

from __future__ import annotations

import pytest

from gateway.upstream.failures import FINAL, Reason
from gateway.upstream.health import LATE_PROBES, Health, WorkerState


def answering() -> Health:
    health = Health()
    health.probe_answered(True)
    return health


def ejection_s(health: Health, now: float) -> float:
    """Eject; how long it lasts, to a tenth of a second."""
    health.failed(Reason.SILENT, now)
    tenths = 0
    while health.state(now + tenths / 10) is WorkerState.EJECTED:
        tenths += 1
    return tenths / 10


def test_a_worker_is_down_until_it_answers() -> None:
    assert Health().state(0) is WorkerState.DOWN
    assert answering().state(0) is WorkerState.UP


def test_ejections_double_up_to_half_a_minute_and_begin_anew_after_a_success() -> None:
    health = answering()
    assert [ejection_s(health, now) for now in range(0, 700, 100)] == [1, 2, 4, 8, 16, 30, 30]

    health.generated()
    assert ejection_s(health, 1_000) == 1
    assert health.ejections == 8


def test_many_generations_that_fail_together_are_one_ejection() -> None:
    health = answering()
    for _ in range(50):
        health.failed(Reason.SILENT, 0)

    assert health.ejections == 1
    assert health.state(1) is WorkerState.UP


def test_a_probe_does_not_lift_an_ejection() -> None:
    health = answering()
    health.failed(Reason.SILENT, 0)
    health.probe_answered(True)

    assert health.state(0.5) is WorkerState.EJECTED


def test_an_unreachable_worker_is_down_until_a_probe_reaches_it() -> None:
    health = answering()
    health.failed(Reason.UNREACHABLE, 0)
    assert health.state(60) is WorkerState.DOWN

    health.probe_answered(True)
    assert health.state(60) is WorkerState.UP


def test_one_late_probe_is_no_proof() -> None:
    health = answering()
    for _ in range(LATE_PROBES - 1):
        health.probe_was_late()
    assert health.state(0) is WorkerState.UP

    health.probe_was_late()
    assert health.state(0) is WorkerState.DOWN


def test_an_engine_is_ejected_for_failing_again_and_again_but_not_for_one_bad_request() -> None:
    health = answering()
    health.failed(Reason.ENGINE_FAILED, 0, cache_salt="a")
    health.failed(Reason.ENGINE_FAILED, 0, cache_salt="b")
    health.generated()
    health.failed(Reason.ENGINE_FAILED, 0, cache_salt="a")
    assert health.state(0) is WorkerState.UP

    health.failed(Reason.ENGINE_FAILED, 0, cache_salt="b")
    health.failed(Reason.ENGINE_FAILED, 0, cache_salt="a")
    assert health.state(0) is WorkerState.EJECTED


def test_one_project_alone_cannot_have_a_worker_ejected() -> None:
    health = answering()
    for _ in range(100):
        health.failed(Reason.ENGINE_FAILED, 0, cache_salt="a")
    assert health.state(0) is WorkerState.UP
    assert health.suspect()

    health.generated()
    assert not health.suspect()


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason in FINAL])
def test_what_is_wrong_with_a_request_is_not_held_against_the_worker(reason: Reason) -> None:
    health = answering()
    health.failed(reason, 0)

    assert health.state(0) is WorkerState.UP
    assert not health.on_trial()
