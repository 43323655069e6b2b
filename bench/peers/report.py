"""The comparison as a table, and as a record of the run. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.peers.scenarios import SCENARIOS, Measured


@dataclass
class Result:
    """Of one gateway; or why there is none."""

    name: str
    does: str
    version: str = ""
    failure: str = ""
    runs: dict[str, list[Measured]] = field(default_factory=dict)  # by scenario


_Read = Callable[[Sequence[Measured]], float | None]


def _median(read: Callable[[Measured], float | None]) -> _Read:
    def of(runs: Sequence[Measured]) -> float | None:
        found = [value for each in runs if (value := read(each)) is not None]
        return statistics.median(found) if found else None

    return of


def _delivered(name: str) -> tuple[str, str, _Read, int]:
    """A column: of what the model server offers. Far below 100 %: the gateway had no more to give."""
    per_s = next(each.deltas_per_s for each in SCENARIOS if each.name == name)
    read = _median(lambda m: 100 * m.deltas / m.seconds / per_s)
    return f"delivered of {per_s:,.0f} a second, %", name, read, 0


# Heading, scenario, what is read, decimals.
COLUMNS: tuple[tuple[str, str, _Read, int], ...] = (
    ("CPU of an answer in one piece, us", "plain", _median(lambda m: m.us_per_request), 0),
    ("CPU of a token, 32 streams, us", "streams-32", _median(lambda m: m.us_per_delta), 1),
    _delivered("streams-32"),
    ("CPU of a token, 256 streams, us", "streams-256", _median(lambda m: m.us_per_delta), 1),
    _delivered("streams-256"),
    ("first delta, p50, ms", "streams-32", _median(lambda m: m.first_ms), 1),
    ("first delta, p99, ms", "streams-32", _median(lambda m: m.first_p99_ms), 1),
    ("PSS with 1,000 streams, MB", "memory-1000", _median(lambda m: m.pss_mb), 0),
    ("of them open", "memory-1000", _median(lambda m: m.open_streams), 0),
)


def table(results: Sequence[Result]) -> str:
    """Markdown. What could not be measured says so."""
    head = ["gateway", *(heading for heading, *_ in COLUMNS), "errors"]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for each in results:
        label = f"{each.name} {each.version}".strip()
        if each.failure:
            lines.append(f"| {label} | {each.failure} |" + " |" * (len(head) - 2))
            continue
        cells = [_cell(read(each.runs.get(name, ())), digits) for _, name, read, digits in COLUMNS]
        bad = sum(run.bad for runs in each.runs.values() for run in runs)
        lines.append(f"| {' | '.join([label, *cells, str(bad)])} |")
    return "\n".join(lines)


def record(results: Sequence[Result], about: Mapping[str, Any]) -> Mapping[str, Any]:
    """All of a run, for JSON."""
    return {**about, "results": [asdict(each) for each in results]}


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
