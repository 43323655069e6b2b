"""The comparison of gateways: medians, and a reason for whoever is missing."""

from __future__ import annotations

from bench.peers.report import COLUMNS, Result, record, table
from bench.peers.scenarios import SCENARIOS, Measured


def measured(cpu_s: float, *, bad: int = 0) -> Measured:
    return Measured(cpu_s, 6.0, 1000, 10_000, 1.5, 4.0, 120.0, 32, bad)


def test_a_gateway_is_told_by_its_medians_and_its_errors() -> None:
    runs = {"plain": [measured(1.0), measured(9.0, bad=2), measured(2.0)]}
    (line,) = table([Result("Some", "nothing", "1.2", runs=runs)]).splitlines()[2:]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:2] == ["Some 1.2", "2,000"]
    assert cells[-1] == "2"


def test_one_that_could_not_be_measured_says_why_and_is_not_left_out() -> None:
    text = table([Result("Gone", "nothing", failure="not installed: `make peers`")])
    head, _, line = text.splitlines()
    assert "not installed" in line
    assert line.count("|") == head.count("|")


def test_every_column_is_of_a_scenario_that_is_run() -> None:
    assert {name for _, name, _, _ in COLUMNS} <= {scenario.name for scenario in SCENARIOS}
    told = record([Result("Some", "nothing", runs={"plain": [measured(1.0)]})], {"at": "now"})
    assert told["results"][0]["runs"]["plain"][0]["cpu_s"] == 1.0
