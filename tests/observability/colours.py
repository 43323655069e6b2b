"""Who has which colour: no two lines of a panel the same, and a name the same in a whole board."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image

# Far from each other, from the white they are on, and from the pure red and orange of limits.
PALETTE = (
    "#1f77b4",  # blue
    "#ff8c1a",  # orange
    "#1f8f2f",  # green
    "#d6277a",  # raspberry
    "#8a4fc8",  # purple
    "#7f4a1f",  # brown
    "#17c3d6",  # cyan
    "#ff9ad5",  # pink
    "#b5a800",  # olive
    "#0b2f8a",  # navy
    "#8fd14f",  # lime
    "#5a5a5a",  # grey
    "#6b0f3a",  # plum
    "#f2705c",  # salmon
    "#00675a",  # pine
)
Dashes = Literal["-", ":", "-."] | tuple[float, Sequence[float]]
DASHES: Sequence[Dashes] = ("-", ":", "-.", (0, (7, 2, 1, 2, 1, 2)))  # "--" is for limits

TEXT, FAINT, GRID, FRAME = "#202226", "#6b7078", "#e6e7ea", "#d3d5d9"
LIMITS: Mapping[str, str] = {"red": "#ff0000", "orange": "#ffa500", "green": "#00a000"}


@dataclass(frozen=True, slots=True)
class Style:
    colour: str
    dashes: Dashes


def styles(panels: Sequence[Sequence[str]]) -> dict[str, Style]:
    """For each name of a board the first style that none has with which it shares a panel."""
    neighbours: dict[str, set[str]] = {}
    for names in panels:
        for name in names:
            neighbours.setdefault(name, set()).update(names)
    every = [Style(colour, dashes) for dashes in DASHES for colour in PALETTE]
    found: dict[str, Style] = {}
    for name, others in neighbours.items():
        taken = {found[each] for each in others if each in found}
        free = [each for each in every if each not in taken]
        assert free, f"a panel has more lines than we have styles: {sorted(others)}"
        found[name] = free[0]
    return found


def few_colours(picture: Image.Image) -> Image.Image:
    """A third of the bytes; every colour of ours stays what it is.

    Pillow's own choice of few colours drops those of thin lines: two orange ones became one.
    """
    of_ours = Image.new("P", (1, 1))
    of_ours.putpalette(list(itertools.chain.from_iterable(_kept())))
    return picture.convert("RGB").quantize(palette=of_ours, dither=Image.Dither.NONE)


def _kept() -> Iterator[tuple[int, int, int]]:
    """Our colours, and what they are where the edge of a line is half on white."""
    for colour in (*PALETTE, *LIMITS.values()):
        for opaque in (1, 0.8, 0.6, 0.4, 0.2):
            red, green, blue = (
                round(255 - opaque * (255 - int(colour[at : at + 2], 16))) for at in (1, 3, 5)
            )
            yield red, green, blue
    # Pillow looks only at six bits of each: beside 255 nothing else may be near to white.
    for grey in (*range(0, 240, 5), 240, 255):
        yield grey, grey, grey
