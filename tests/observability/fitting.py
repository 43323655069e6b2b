"""Words into the room there is: nothing is cut, neither silently nor at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

# How wide a text is, in the unit of the room.
Measure = Callable[[str], float]


def shortened(text: str, room: float, measure: Measure) -> str:
    """With an ellipsis in its middle if need be: names differ at their ends."""
    if measure(text) <= room:
        return text
    for kept in range(len(text) - 1, 1, -1):
        short = f"{text[: (kept + 1) // 2]}…{text[-(kept // 2) :]}"
        if measure(short) <= room:
            return short
    return "…"


def wrapped(text: str, room: float, measure: Measure) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and measure(longer) <= room:
            lines[-1] = longer
        else:
            lines.append(shortened(word, room, measure))
    return lines


def flowed(widths: Sequence[float], room: float) -> list[list[int]]:
    """Which of them stand in which row, as words in a paragraph."""
    found: list[list[int]] = []
    left = 0.0
    for number, width in enumerate(widths):
        if not found or width > left:
            found.append([])
            left = room
        found[-1].append(number)
        left -= width
    return found


def told_apart(names: Sequence[str]) -> list[str]:
    """The second of a name is numbered, as in Grafana."""
    return [
        f"{name} {names[:number].count(name) + 1}" if names[:number].count(name) else name
        for number, name in enumerate(names)
    ]
