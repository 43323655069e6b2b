"""What was measured, what it should be, and the table of both. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    what: str
    measured: float
    unit: str
    target: float | None = None  # None: for information
    at_least: bool = False  # the target is a floor; otherwise it is a ceiling

    @property
    def held(self) -> bool:
        if self.target is None:
            return True
        return self.measured >= self.target if self.at_least else self.measured <= self.target


def table(figures: Sequence[Figure]) -> str:
    """Markdown: what, measured, target, and whether it holds."""
    lines = ["| what | measured | target | |", "| --- | --- | --- | --- |"]
    for figure in figures:
        target = verdict = ""
        if figure.target is not None:
            bound = "at least" if figure.at_least else "at most"
            target = f"{bound} {_number(figure.target)} {figure.unit}"
            verdict = "holds" if figure.held else "MISSED"
        lines.append(
            f"| {figure.what} | {_number(figure.measured)} {figure.unit} | {target} | {verdict} |"
        )
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
