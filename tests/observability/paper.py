"""Paper to draw boards on: letters, lines, frames and axes by the pixel, from its left and top.

At 72 dots an inch a point is a pixel.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path
from matplotlib.transforms import IdentityTransform
from PIL import Image

from tests.observability.colours import FRAME, TEXT, Style, few_colours

WIDTH = 1200
DOTS_PER_INCH = 72
PAD = 11  # between a frame and what it holds


@dataclass(frozen=True, slots=True)
class Box:
    left: float
    top: float
    width: float
    height: float

    def inside(self) -> Box:
        return Box(self.left + PAD, self.top + PAD, self.width - 2 * PAD, self.height - 2 * PAD)


class Page:
    def __init__(self, height: float) -> None:
        self.height = math.ceil(height)
        inches = (WIDTH / DOTS_PER_INCH, self.height / DOTS_PER_INCH)
        self._figure = Figure(figsize=inches, dpi=DOTS_PER_INCH, facecolor="white")

    def write(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        colour: str = TEXT,
        *,
        weight: str = "normal",
        align: str = "left",
    ) -> None:
        self._figure.text(
            x / WIDTH,
            # By the baseline: the top of "queue" is not that of "settle".
            1 - (y + 0.85 * size) / self.height,
            text,
            fontsize=size,
            color=colour,
            weight=weight,
            ha=align,
            va="baseline",
            parse_math=False,
        )

    def line(self, left: float, right: float, y: float, style: Style, thickness: float) -> None:
        self._figure.add_artist(
            Line2D(
                (left, right),
                (self.height - y, self.height - y),
                color=style.colour,
                linestyle=style.dashes,
                linewidth=thickness,
                transform=IdentityTransform(),
            )
        )

    def frame(self, box: Box) -> None:
        corner = (box.left, self.height - box.top - box.height)
        self._figure.add_artist(
            Rectangle(
                corner,
                box.width,
                box.height,
                fill=False,
                edgecolor=FRAME,
                linewidth=1,
                transform=IdentityTransform(),
            )
        )

    def axes(self, box: Box) -> Any:
        bottom = 1 - (box.top + box.height) / self.height
        return self._figure.add_axes(
            (box.left / WIDTH, bottom, box.width / WIDTH, box.height / self.height)
        )

    def save(self, file: Path) -> None:
        drawn = io.BytesIO()
        self._figure.savefig(drawn, dpi=DOTS_PER_INCH)
        few_colours(Image.open(drawn)).save(file, optimize=True)


def width_of(text: str, size: float, weight: str = "normal") -> float:
    font = FontProperties(size=size, weight=weight)
    width: float = text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]
    return 1.02 * width + 1  # letters are set on whole pixels


def measure_of(size: float, weight: str = "normal") -> Callable[[str], float]:
    return partial(width_of, size=size, weight=weight)
