"""Draw what boards show, in one picture, as Grafana lays them out. All lengths are pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.observability.colours import FAINT, FRAME, GRID, LIMITS, TEXT, Style, styles
from tests.observability.dashboards import Panel, Shown
from tests.observability.fitting import flowed, shortened, told_apart, wrapped
from tests.observability.paper import PAD, WIDTH, Box, Page, measure_of, width_of
from tests.observability.units import minutes_and_seconds, ticks, unit_in_words, value_text

COLUMNS = 24
ROW = 34  # of Grafana's grid
HEADING, TITLE, SMALL, FIGURES = 17, 15, 12.5, 30
BETWEEN = 4  # a panel and the edge of its place
TITLE_LINE, SMALL_LINE = 20, 17
TIME_AXIS = "min:s since the start"
# Below 0 there is some room: a line that is always 0 is to be seen, and is not "no data".
BELOW, ABOVE = 0.05, 1.07
LEGEND_ROWS = 2  # for which a panel has room; it grows with more
SAMPLE, AFTER_SAMPLE, AFTER_ENTRY = 18, 5, 16
TIME_STEPS_S = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)


def draw(shown: Sequence[Shown], title: str, file: Path) -> None:
    """A board, or some of its panels."""
    legends = [
        told_apart([name for name, _ in each.series] if each.panel.kind == "timeseries" else ())
        for each in shown
    ]
    style = styles(legends)
    boxes, height = _layout(shown, legends)
    page = Page(height)
    page.write(PAD, 8, title, HEADING)
    for each, names, box in zip(shown, legends, boxes, strict=True):
        match each.panel.kind:
            case "row":
                page.write(box.left + 2, box.top + 6, each.panel.title, HEADING, weight="bold")
            case "stat":
                _draw_stat(page, box, each)
            case "table":
                _draw_table(page, box, each)
            case _:
                _draw_graph(page, box, each, names, style)
    page.save(file)


def _layout(shown: Sequence[Shown], legends: Sequence[Sequence[str]]) -> tuple[list[Box], float]:
    """Where each is, and how high all are: a row is as high as its longest legend wants.

    A whole board, or a few panels of it: rows of the grid that are not there take no room.
    """
    column = (WIDTH - 2 * BETWEEN) / COLUMNS
    heights: dict[int, float] = {}
    for each, names in zip(shown, legends, strict=True):
        place = each.panel.position
        rows = _legend_rows(names, place["w"] * column - 2 * (BETWEEN + PAD))
        height = place["h"] * ROW + max(0, len(rows) - LEGEND_ROWS) * SMALL_LINE
        heights[place["y"]] = max(height, heights.get(place["y"], 0))
    tops: dict[int, float] = {}
    top = 34.0
    for level in sorted(heights):
        tops[level] = top
        top += heights[level]
    boxes = [
        Box(
            BETWEEN + each.panel.position["x"] * column + BETWEEN,
            tops[each.panel.position["y"]] + BETWEEN,
            each.panel.position["w"] * column - 2 * BETWEEN,
            heights[each.panel.position["y"]] - 2 * BETWEEN,
        )
        for each in shown
    ]
    return boxes, top + BETWEEN


# --- panels ----------------------------------------------------------------------


def _draw_title(page: Page, box: Box, title: str, words: str = "") -> Box:
    """What is left of the panel, within its frame."""
    page.frame(box)
    inside = box.inside()
    y = inside.top
    lines = wrapped(title, inside.width, measure_of(TITLE, "bold"))
    for line in lines:
        page.write(inside.left, y, line, TITLE, weight="bold")
        y += TITLE_LINE
    if words:
        behind = width_of(lines[-1], TITLE, "bold") + 8 if lines else 0
        if behind + width_of(words, SMALL) <= inside.width:
            page.write(inside.left + behind, y - TITLE_LINE + 2, words, SMALL, FAINT)
        else:
            page.write(inside.left, y, words, SMALL, FAINT)
            y += SMALL_LINE
    return Box(inside.left, y, inside.width, inside.top + inside.height - y)


def _draw_stat(page: Page, box: Box, shown: Shown) -> None:
    room = _draw_title(page, box, shown.panel.title)
    values = [series.points[-1][1] for _, series in shown.series]
    text = value_text(values[0], shown.panel.unit) if values else "no data"
    size = min(FIGURES, FIGURES * room.width / width_of(text, FIGURES))
    page.write(room.left, room.top + (room.height - size) / 2, text, size)


def _draw_graph(
    page: Page, box: Box, shown: Shown, names: Sequence[str], style: Mapping[str, Style]
) -> None:
    panel = shown.panel
    room = _draw_title(page, box, panel.title, unit_in_words(panel.unit))
    legend = _legend_rows(names, room.width)
    top = _top(shown)
    marks = ticks(ABOVE * top, panel.unit)
    beside = max(width_of(text, SMALL) for _, text in marks) + 7
    # Under the plot: figures of the axis, its name, the legend.
    below = len(legend) * SMALL_LINE + 2 * SMALL_LINE + 8
    plot = Box(room.left + beside, room.top + 5, room.width - beside - 8, room.height - 5 - below)
    axes = page.axes(plot)
    _draw_axes(axes, panel, top, marks, shown.end - shown.start, plot.width)
    found = False
    for name, (_, series) in zip(names, shown.series, strict=True):
        look = {
            "color": style[name].colour,
            "linestyle": style[name].dashes,
            "linewidth": 1.5,
            "solid_capstyle": "butt",
        }
        for run in unbroken(series.points, shown.step_s):
            found = True
            # One by itself would be a line of no length.
            alone: dict[str, Any] = {"marker": "o", "markersize": 3} if len(run) == 1 else {}
            axes.plot([at - shown.start for at, _ in run], [y for _, y in run], **look, **alone)
    middle = plot.left + plot.width / 2
    if not found:
        page.write(middle, plot.top + plot.height / 2 - 12, "no data", TITLE, FAINT, align="center")
    y = plot.top + plot.height + SMALL_LINE + 5
    page.write(middle, y, TIME_AXIS, SMALL - 1, FAINT, align="center")
    y += SMALL_LINE + 3
    for row in legend:
        x = room.left
        for number, text in row:
            page.line(x, x + SAMPLE, y + SMALL / 2, style[names[number]], 2.5)
            page.write(x + SAMPLE + AFTER_SAMPLE, y, text, SMALL)
            x += _entry_width(text)
        y += SMALL_LINE


def _top(shown: Shown) -> float:
    """Of the axis, above the highest value."""
    if shown.panel.maximum is not None:
        return shown.panel.maximum
    values = [y for _, series in shown.series for _, y in series.points if math.isfinite(y)]
    # All axes begin at 0 (charts/monitoring/panels.py). A line that stays there has one to 1.
    return max([0.0, *values]) or 1.0


def _draw_axes(
    axes: Any,
    panel: Panel,
    top: float,
    marks: Sequence[tuple[float, str]],
    duration_s: float,
    width: float,
) -> None:
    axes.set_ylim(-BELOW * top, ABOVE * top)
    axes.set_xlim(0, duration_s)
    axes.set_yticks([at for at, _ in marks], [text for _, text in marks])
    step = next(
        (each for each in TIME_STEPS_S if duration_s / each * 55 <= width), TIME_STEPS_S[-1]
    )
    times = range(0, int(duration_s) + 1, step)
    axes.set_xticks(times, [minutes_and_seconds(each) for each in times])
    axes.tick_params(labelsize=SMALL, labelcolor=TEXT, color=FRAME, length=3, pad=3)
    axes.grid(color=GRID, linewidth=1)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_color(FRAME)
    for limit, colour in panel.limits:
        if limit <= ABOVE * top:
            axes.axhline(limit, color=LIMITS.get(colour, colour), linestyle="--", linewidth=1.3)


def unbroken(
    points: Sequence[tuple[float, float]], step_s: float
) -> Iterator[Sequence[tuple[float, float]]]:
    """As Grafana: no line where nothing was measured."""
    run: list[tuple[float, float]] = []
    for at, value in points:
        if run and (not math.isfinite(value) or at - run[-1][0] > 1.5 * step_s):
            yield run
            run = []
        if math.isfinite(value):
            run.append((at, value))
    if run:
        yield run


def _legend_rows(names: Sequence[str], room: float) -> list[list[tuple[int, str]]]:
    """Which name, as it is written, in which row."""
    measure = measure_of(SMALL)
    texts = [shortened(name, room - _entry_width(""), measure) for name in names]
    rows = flowed([_entry_width(text) for text in texts], room + AFTER_ENTRY)
    return [[(number, texts[number]) for number in row] for row in rows]


def _entry_width(text: str) -> float:
    return SAMPLE + AFTER_SAMPLE + width_of(text, SMALL) + AFTER_ENTRY


def _draw_table(page: Page, box: Box, shown: Shown) -> None:
    room = _draw_title(page, box, shown.panel.title)
    columns = list(dict.fromkeys(shown.panel.columns.values()))
    found: dict[str, dict[str, float]] = {}
    for column, series in shown.series:
        key = series.labels.get("worker") or series.labels.get("project") or ""
        found.setdefault(key, {})[column] = series.points[-1][1]
    if not found:
        page.write(room.left, room.top + 8, "no data", TITLE, FAINT)
        return
    lines = [["", *columns]]
    for name in sorted(found):
        cells = [
            value_text(found[name][column], shown.panel.units.get(column, shown.panel.unit))
            if not math.isnan(found[name].get(column, math.nan))
            else ""
            for column in columns
        ]
        lines.append([name, *cells])
    line_height = SMALL_LINE + 8
    fitting = int(room.height // line_height)
    if len(lines) > fitting:
        lines = [*lines[: fitting - 1], [f"and {len(lines) - fitting + 1} more"]]
    _draw_lines_of_table(page, room, lines, line_height)


def _draw_lines_of_table(
    page: Page, room: Box, lines: Sequence[Sequence[str]], line_height: float
) -> None:
    """The first column to the left, figures to the right, as wide as they want to be."""
    gap = 24.0
    widths = [
        max(width_of(line[number], SMALL) for line in lines if number < len(line))
        for number in range(len(lines[0]))
    ]
    size = SMALL * min(1, room.width / (sum(widths) + gap * (len(widths) - 1)))
    scale = size / SMALL
    spare = (room.width - scale * sum(widths)) / max(1, len(widths) - 1)
    y = room.top + 4
    for row, line in enumerate(lines):
        x = room.left
        for number, text in enumerate(line):
            colour = TEXT if row else FAINT
            if number:
                x += spare + scale * widths[number]
                page.write(x, y, text, size, colour, align="right")
            else:
                x += scale * widths[0]
                page.write(room.left, y, text, size, colour)
        y += line_height
        page.line(room.left, room.left + room.width, y - 6, Style(GRID, "-"), 1)
