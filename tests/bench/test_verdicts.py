"""A benchmark that misses its target says so."""

from __future__ import annotations

import pytest

from bench.gateway.figures import Figure, table
from bench.micro.budgets import BUDGETS, TOLERANCE, baseline, over_budget


def test_stations_within_their_budgets_are_not_mentioned() -> None:
    assert over_budget({name: budget * 1.1 for name, budget in BUDGETS.items()}) == []


def test_a_station_that_has_become_slower_is_named_with_both_figures() -> None:
    name, budget = "a junk key", BUDGETS["a junk key"]
    [said] = over_budget({name: budget * TOLERANCE * 1.01})
    assert name in said
    assert f"instead of {budget:.3g}" in said


def test_a_station_without_a_budget_is_not_let_through() -> None:
    assert "has no budget" in over_budget({"a new one": 0.1})[0]


def test_the_loop_that_stations_are_measured_in_does_its_work() -> None:
    assert baseline(2) > baseline(1) > 0


@pytest.mark.parametrize(
    ("figure", "held"),
    [
        (Figure("us", 14.9, "us", 15), True),
        (Figure("us", 15.1, "us", 15), False),
        (Figure("scaling", 1.9, "times", 1.8, at_least=True), True),
        (Figure("scaling", 1.7, "times", 1.8, at_least=True), False),
        (Figure("for information", 1e9, "us"), True),
    ],
)
def test_a_figure_holds_if_it_is_on_the_right_side_of_its_target(
    figure: Figure, held: bool
) -> None:
    assert figure.held is held
    assert ("MISSED" in table([figure])) is not held
