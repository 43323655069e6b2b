"""When tokens are due."""

from __future__ import annotations

import math
from typing import Any

import pytest

from workers.engine import LengthReached
from workers.engines.simulator.directives import Directives
from workers.engines.simulator.plan import Plan
from workers.engines.simulator.progress import Progress, Trap
from workers.settings import SimulatorSettings

SETTINGS = SimulatorSettings(first_token_ms=500, tokens_per_second=10)


def _progress(length: int = 10, **directives: Any) -> Progress:
    plan = Plan(range(length), LengthReached(), Directives(**directives))
    return Progress(plan, SETTINGS)


def test_nothing_is_due_before_the_first_step() -> None:
    progress = _progress()

    assert progress.due_at == math.inf
    assert list(progress.take(1e9)) == []


def test_tokens_come_at_their_pace_and_pauses_are_caught_up() -> None:
    progress = _progress()
    progress.begin(100.0)

    assert progress.due_at == 100.5
    assert list(progress.take(100.4)) == []
    assert list(progress.take(100.5)) == [0]
    assert progress.due_at == pytest.approx(100.6)
    assert list(progress.take(101.05)) == [1, 2, 3, 4, 5]
    assert not progress.over
    assert list(progress.take(200.0)) == [6, 7, 8, 9]
    assert progress.over


def test_full_speed_is_a_handful_a_step() -> None:
    progress = _progress(20, tokens_per_second=0, first_token_ms=0)
    progress.begin(100.0)

    assert len(progress.take(100.0)) == 16
    assert progress.due_at == 100.0
    assert len(progress.take(100.0)) == 4
    assert progress.over


@pytest.mark.parametrize(
    ("directives", "taken", "trap"),
    [
        ({}, 10, None),
        ({"fail_after": 3}, 3, Trap.FAIL),
        ({"fail_after": 0}, 0, Trap.FAIL),
        ({"fail_after": 5, "die_after": 4}, 4, Trap.DIE),
        ({"hang_after": 10}, 10, Trap.HANG),
        ({"hang_after": 11}, 10, None),
    ],
)
def test_a_trap_springs_after_its_tokens(
    directives: dict[str, Any], taken: int, trap: Trap | None
) -> None:
    progress = _progress(10, **directives)
    progress.begin(100.0)

    assert len(progress.take(1e6)) == taken
    assert progress.over
    assert progress.trap is trap
