"""What is drawn for the documents can be read: lines are told apart, and nothing is cut."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from tests.observability.colours import LIMITS, PALETTE, few_colours, styles
from tests.observability.dashboards import Panel, Shown
from tests.observability.drawing import draw, unbroken
from tests.observability.fitting import flowed, shortened, told_apart, wrapped
from tests.observability.prometheus import Series
from tests.observability.units import minutes_and_seconds, ticks, unit_in_words, value_text

SERIES, BACKGROUND = 40, (255, 255, 255)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0871, "s", "87.1 ms"),
        (0.00025, "s", "250 µs"),
        (2.5, "s", "2.5 s"),
        (75, "s", "75 s"),
        (600, "s", "10 min"),
        (0, "s", "0 s"),
        (0.0323, "percentunit", "3.23 %"),
        (-1.21, "percentunit", "-121 %"),
        (98, "percent", "98 %"),
        (157_286_400, "bytes", "150 MiB"),
        (1_500_000, "decbytes", "1.5 MB"),
        (73_728, "decmbytes", "73.7 GB"),
        (610, "watt", "610 W"),
        (9.2, "reqps", "9.2 /s"),
        (483, "suffix: tokens/s", "483 tokens /s"),
        (3, "short", "3"),
        (1_270, "short", "1,270"),
        (21_600, "short", "21.6 K"),
        (math.nan, "short", "no data"),
    ],
)
def test_a_value_is_written_in_its_panels_unit(value: float, unit: str, text: str) -> None:
    assert value_text(value, unit) == text


@pytest.mark.parametrize(
    ("top", "unit", "texts"),
    [
        (0.26, "s", ["0 ms", "100 ms", "200 ms"]),
        (1.6e8, "bytes", ["0 MiB", "50 MiB", "100 MiB", "150 MiB"]),
        (1, "percentunit", ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]),
        (1_700, "short", ["0", "500", "1,000", "1,500"]),
        (30_000, "short", ["0", "10 K", "20 K", "30 K"]),
        (12, "reqps", ["0", "2.5", "5", "7.5", "10"]),
    ],
)
def test_an_axis_has_round_values_of_one_scale(top: float, unit: str, texts: list[str]) -> None:
    assert [text for _, text in ticks(top, unit)] == texts


def test_a_rate_says_so_and_a_count_says_nothing() -> None:
    words = {unit: unit_in_words(unit) for unit in ("reqps", "short", "", "s", "suffix: tokens/s")}
    assert words == {
        "reqps": "per second",
        "short": "",
        "": "",
        "s": "",
        "suffix: tokens/s": "tokens per second",
    }
    assert minutes_and_seconds(65) == "1:05"


def test_no_two_lines_of_a_panel_look_alike() -> None:
    one, other = [f"worker {number}" for number in range(SERIES)], ["ok", "worker 0"]
    found = styles([other, one])
    assert len({found[name] for name in one}) == SERIES
    assert found["ok"] != found["worker 0"]
    assert {found[name].dashes for name in one[: len(PALETTE) - 1]} == {"-"}


def test_colours_are_far_from_each_other() -> None:
    def distance(one: Sequence[float], other: Sequence[float]) -> float:
        # As the eye weighs them, about: https://www.compuphase.com/cmetric.htm
        red = (one[0] + other[0]) / 2
        weights = (2 + red / 256, 4, 2 + (255 - red) / 256)
        pairs = zip(weights, one, other, strict=True)
        return math.sqrt(sum(weight * (a - b) ** 2 for weight, a, b in pairs))

    assert len(PALETTE) >= 12
    colours = [*map(_rgb, PALETTE), BACKGROUND]
    assert min(itertools.starmap(distance, itertools.combinations(colours, 2))) > 100


def test_colours_survive_that_the_picture_has_few() -> None:
    picture = Image.new("RGB", (200, 200), "white")
    wanted = {*map(_rgb, (*PALETTE, *LIMITS.values())), BACKGROUND}
    for number, colour in enumerate(sorted(wanted)):
        picture.paste(colour, (0, number, 1, number + 1))  # a pixel each
    told = few_colours(picture).convert("RGB").getcolors()
    assert told is not None
    assert {colour for _, colour in told} == wanted


def test_a_name_too_long_keeps_its_ends() -> None:
    assert shortened("prj_1 requests_per_minute", 25, len) == "prj_1 requests_per_minute"
    assert shortened("prj_1 requests_per_minute", 11, len) == "prj_1…inute"
    assert wrapped("Keys that Redis evicted", 15, len) == ["Keys that Redis", "evicted"]


def test_a_legend_has_as_many_rows_as_it_needs() -> None:
    assert flowed([4, 4, 4, 9, 1], 10) == [[0, 1], [2], [3, 4]]
    assert flowed([], 10) == []
    assert told_apart(["ok", "ok", "failed"]) == ["ok", "ok 2", "failed"]


def test_there_is_no_line_where_nothing_was_measured() -> None:
    points = [(0.0, 1.0), (1.0, 1.0), (5.0, 2.0), (6.0, math.nan), (7.0, 3.0)]
    assert list(unbroken(points, 1)) == [points[:2], points[2:3], points[4:]]


def test_whatever_its_legends_are_a_panel_stays_within_its_frame(tmp_path: Path) -> None:
    names = [f"127.0.0.1:{40000 + number} {'engine_failed ' * 4}" for number in range(SERIES)]
    steady = [(float(at), 1.0) for at in range(60)]
    file = tmp_path / "board.png"
    draw([_shown({name: steady for name in names}, "A title " * 12)], "Legends", file)
    picture = Image.open(file).convert("RGB")
    frame = 6 * picture.width // 24
    assert picture.height > SERIES * 17
    # Right of the frame, and below it.
    for beyond in (
        (frame + 2, 40, picture.width, picture.height),
        (0, picture.height - 4, *picture.size),
    ):
        assert picture.crop(beyond).getcolors() == [
            ((beyond[2] - beyond[0]) * (beyond[3] - beyond[1]), BACKGROUND)
        ]


def test_a_line_that_is_always_0_does_not_look_like_no_data(tmp_path: Path) -> None:
    coloured = {}
    for name, points in {"zero": [(float(at), 0.0) for at in range(60)], "nothing": []}.items():
        file = tmp_path / f"{name}.png"
        draw([_shown({"replicas": points})], name, file)
        saturation = Image.open(file).convert("HSV").getchannel("S").histogram()
        coloured[name] = sum(saturation[100:])
    # More than the sample in the legend and the limit.
    assert coloured["zero"] > coloured["nothing"] + 150


def _shown(series: dict[str, list[tuple[float, float]]], title: str = "A panel") -> Shown:
    panel = Panel(
        board="fleet",
        title=title,
        kind="timeseries",
        unit="reqps",
        position={"x": 0, "y": 0, "w": 6, "h": 8},
        targets=(),
        limits=[(0.5, "red")],
        maximum=None,
        stacked=False,
        columns={},
        units={},
    )
    found = [(name, Series({}, points)) for name, points in series.items()]
    return Shown(panel, found, empty=(), start=0, end=60, step_s=1)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
