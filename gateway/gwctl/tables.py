"""Rows, and rows as a table, as JSON or as CSV. Pure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from gateway.quota.limits import MODES, QUOTAS

Row = Mapping[str, object]
Rows = Row | Sequence[Row]
Answer = Rows | str  # a text is printed as it is
# A spreadsheet takes what begins so for a formula, and runs it.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def timestamp(unix_s: int | None) -> str | None:
    """As ISO 8601, UTC."""
    if unix_s is None:
        return None
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def limits_row(limits: Mapping[str, Any]) -> Row:
    return {name: limits[name] for name in (*QUOTAS, *MODES)}


def as_json(answer: Rows) -> str:
    return json.dumps(answer, indent=2)


def as_csv(answer: Rows) -> str:
    """With a line of names first; no line at all if there is nothing."""
    rows = [answer] if isinstance(answer, Mapping) else answer
    if not rows:
        return ""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([_csv_cell(value) for value in row.values()] for row in rows)
    return written.getvalue().rstrip("\n")


def as_table(answer: Rows) -> str:
    """One row downwards, for it is read; many across, for they are compared."""
    if isinstance(answer, Mapping):
        width = max(len(name) for name in answer)
        return "\n".join(f"{name:<{width}}  {_cell(value)}" for name, value in answer.items())
    if not answer:
        return "(none)"
    names = [name for name in answer[0] if any(_says_something(name, row[name]) for row in answer)]
    cells = [[name.upper() for name in names]]
    cells += [[_cell(row[name]) for name in names] for row in answer]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    # A limit that the first project has not is still a column of numbers.
    numeric = [name in QUOTAS or isinstance(answer[0][name], int) for name in names]
    return "\n".join(
        "  ".join(
            f"{cell:>{width}}" if right else f"{cell:<{width}}"
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in cells
    )


def _says_something(name: str, value: object) -> bool:
    """Limits are many, and most projects have few: a column that tells nothing is left out."""
    match name:
        case "managed":
            return bool(value)
        case _ if name in QUOTAS:
            return value is not None
        case _:
            return not (name in MODES and value == "hard")


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(str, value)) or "-"
        case Mapping():
            return json.dumps(value, separators=(",", ":"))
    return str(value)


def _csv_cell(value: object) -> object:
    if value is None:
        return ""
    text = value if isinstance(value, int) else _cell(value)
    return f"'{text}" if isinstance(text, str) and text.startswith(_FORMULA) else text
