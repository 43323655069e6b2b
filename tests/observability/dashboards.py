"""The chart's dashboards, asked of a Prometheus as Grafana would ask.

Grafana itself cannot be had here. These are its JSON, its queries and its layout; the drawing
(drawing.py) is ours.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.chart.helm import CHART
from tests.observability.prometheus import Prometheus, Series

# What Grafana puts in for its variables. A rate needs four scrapes.
VARIABLES = {
    "$__rate_interval": "5s",
    "$__interval": "1s",
    "$namespace": ".+",
    "$project": ".+",
}


@dataclass(frozen=True, slots=True)
class Panel:
    board: str
    title: str
    kind: str  # timeseries, stat, table, row
    unit: str
    position: Mapping[str, int]  # of Grafana's grid: x, y, w, h
    targets: Sequence[Mapping[str, Any]]
    limits: Sequence[tuple[float, str]]
    maximum: float | None  # of the axis
    stacked: bool
    columns: Mapping[str, str]  # of a table: what its values are called
    units: Mapping[str, str]  # of columns that have another one


@dataclass(frozen=True, slots=True)
class Shown:
    """What a panel shows: the series of each query, with their legends."""

    panel: Panel
    series: Sequence[tuple[str, Series]]
    empty: Sequence[str]  # queries that returned nothing
    start: float  # Unix s, as is the end
    end: float
    step_s: float


def panels(board: str) -> Iterator[Panel]:
    """In their order, with rows."""
    content = json.loads((CHART / "dashboards" / f"{board}.json").read_text())
    for each in content["panels"]:
        yield _panel(board, each)
        for inner in each.get("panels") or ():
            yield _panel(board, inner)


def _panel(board: str, panel: Mapping[str, Any]) -> Panel:
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    steps = defaults.get("thresholds", {}).get("steps", ())
    units = {
        each["matcher"]["options"]: said["value"]
        for each in panel.get("fieldConfig", {}).get("overrides") or ()
        for said in each["properties"]
        if said["id"] == "unit"
    }
    columns: Mapping[str, str] = {}
    for each in panel.get("transformations") or ():
        columns = each["options"].get("renameByName", columns)
    return Panel(
        board=board,
        title=panel.get("title", ""),
        kind=panel["type"],
        unit=defaults.get("unit", ""),
        position=panel["gridPos"],
        targets=panel.get("targets") or (),
        limits=[(step["value"], step["color"]) for step in steps if step["value"] is not None],
        maximum=defaults.get("max"),
        stacked=defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal",
        columns=columns,
        units=units,
    )


def expression(target: Mapping[str, Any]) -> str:
    expr = str(target["expr"])
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    return expr


def show(prometheus: Prometheus, panel: Panel, start: float, end: float) -> Shown:
    """Raises AssertionError if Prometheus refuses a query."""
    found: list[tuple[str, Series]] = []
    empty = []
    step_s = max(1.0, (end - start) / 240)
    for target in panel.targets:
        expr = expression(target)
        if panel.kind == "timeseries":
            answer = prometheus.over_time(expr, start, end, step_s=step_s)
        else:
            answer = prometheus.now(expr, end)
        if not any(not math.isnan(value) for each in answer for _, value in each.points):
            empty.append(expr)
        name = panel.columns.get(f"Value #{target.get('refId', '')}", "")
        found += [(name or _legend(target, each), each) for each in answer]
    return Shown(panel, found, empty, start, end, step_s)


def _legend(target: Mapping[str, Any], series: Series) -> str:
    text = str(target.get("legendFormat") or "")
    return re.sub(r"{{(\w+)}}", lambda at: series.labels.get(at[1], ""), text).strip()
