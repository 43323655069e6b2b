"""The chart's dashboards, asked of a Prometheus as Grafana would ask, and drawn.

Grafana itself cannot be had here. These are its JSON, its queries and its layout; the drawing
is ours.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
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
    stacked: bool
    columns: Mapping[str, str]  # of a table: what its values are called


@dataclass(frozen=True, slots=True)
class Shown:
    """What a panel shows: the series of each query, with their legends."""

    panel: Panel
    series: Sequence[tuple[str, Series]]
    empty: Sequence[str]  # queries that returned nothing


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
        stacked=defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal",
        columns=columns,
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
    return Shown(panel, found, empty)


def _legend(target: Mapping[str, Any], series: Series) -> str:
    text = str(target.get("legendFormat") or "")
    return re.sub(r"{{(\w+)}}", lambda at: series.labels.get(at[1], ""), text).strip()


def draw(shown: Sequence[Shown], title: str, file: Path) -> None:
    """As Grafana lays them out, in one picture."""
    import matplotlib
    from PIL import Image

    matplotlib.use("Agg")
    from matplotlib import pyplot

    # A whole board, or a few panels of it: rows of the grid that are not there take no room.
    levels = sorted({each.panel.position["y"] for each in shown})
    heights = {
        level: max(each.panel.position["h"] for each in shown if each.panel.position["y"] == level)
        for level in levels
    }
    tops, top = {}, 0
    for level in levels:
        tops[level] = top
        top += heights[level]
    figure = pyplot.figure(figsize=(16, 0.42 * top + 0.5), facecolor="white")
    figure.suptitle(title, fontsize=12, x=0.01, y=1 - 0.1 / (0.42 * top + 0.5), ha="left", va="top")
    usable = 1 - 0.5 / (0.42 * top + 0.5)
    for each in shown:
        place = each.panel.position
        left, width = place["x"] / 24, place["w"] / 24
        height = place["h"] / top * usable
        bottom = usable - (tops[place["y"]] + place["h"]) / top * usable
        axes = figure.add_axes(
            (left + 0.028, bottom + 0.2 * height, width - 0.04, max(height * 0.62, 0.001))
        )
        _draw_panel(axes, each)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=75)
    pyplot.close(figure)
    # Lines and letters: a few colours are enough, and a third of the bytes.
    Image.open(drawn).convert("RGB").quantize(48).save(file, optimize=True)


def _draw_panel(axes: Any, shown: Shown) -> None:
    panel = shown.panel
    match panel.kind:
        case "row":
            axes.axis("off")
            axes.text(0, 0.3, panel.title, fontsize=11, weight="bold", transform=axes.transAxes)
        case "stat":
            axes.axis("off")
            axes.set_title(panel.title, fontsize=8, loc="left")
            values = [series.points[-1][1] for _, series in shown.series]
            text = _text(values[0], panel.unit) if values else "no data"
            axes.text(0.02, 0.2, text, fontsize=20, transform=axes.transAxes)
        case "table":
            _draw_table(axes, shown)
        case _:
            _draw_lines(axes, shown)


def _draw_lines(axes: Any, shown: Shown) -> None:
    panel = shown.panel
    axes.set_title(f"{panel.title}  [{panel.unit}]", fontsize=8, loc="left")
    axes.grid(alpha=0.3)
    axes.tick_params(labelsize=6)
    start = min((each.points[0][0] for _, each in shown.series if each.points), default=0)
    highest = 0.0
    for legend, series in shown.series:
        times = [at - start for at, _ in series.points]
        values = [value for _, value in series.points]
        highest = max([highest, *(value for value in values if math.isfinite(value))])
        axes.plot(times, values, label=legend[:40], linewidth=1)
    for limit, colour in panel.limits:
        if limit <= 1.5 * highest:
            axes.axhline(limit, color=colour, linestyle="--", linewidth=0.8)
    axes.set_ylim(bottom=0)
    if shown.series:
        axes.legend(
            fontsize=5.5, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.1), frameon=False
        )


def _draw_table(axes: Any, shown: Shown) -> None:
    axes.axis("off")
    axes.set_title(shown.panel.title, fontsize=8, loc="left")
    columns = list(dict.fromkeys(shown.panel.columns.values()))
    rows: dict[str, dict[str, float]] = {}
    for column, series in shown.series:
        key = series.labels.get("worker") or series.labels.get("project") or ""
        rows.setdefault(key, {})[column] = series.points[-1][1]
    cells = [
        [name, *(_cell(rows[name].get(column)) for column in columns)] for name in sorted(rows)
    ]
    if cells:
        table = axes.table(cellText=cells[:12], colLabels=["", *columns], loc="upper left")
        table.auto_set_font_size(False)
        table.set_fontsize(7)


def _cell(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.4g}"


def _text(value: float, unit: str) -> str:
    match unit:
        case "percentunit":
            return f"{100 * value:.2f} %"
        case "s":
            return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"
        case "reqps":
            return f"{value:.1f} /s"
        case "bytes":
            return f"{value / 2**20:.1f} MiB"
    return f"{value:.4g}"
