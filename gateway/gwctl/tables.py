"""Answers as rows, and rows as a table or as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from gateway.quota.limits import MODES, QUOTAS
from gateway.store.books import Difference
from gateway.store.records import KeyRecord, ProjectConfig
from gateway.store.usage import DailyUsage, LedgerEntry

Row = Mapping[str, object]
Answer = Row | Sequence[Row]


def project_row(project: ProjectConfig) -> Row:
    return {
        "id": project.project_id,
        "name": project.name,
        "state": project.state.value,
        **asdict(project.limits),
        "created": _timestamp(project.created_at),
    }


def key_row(record: KeyRecord) -> Row:
    return {
        "kid": record.kid,
        "name": record.name,
        "project": record.default_project_id,
        "principal": record.principal_id,
        "state": record.state.value,
        "pepper": record.hashed_secret.pepper_version,
        "created": _timestamp(record.created_at),
        "last_used": None if record.last_used_at is None else _timestamp(record.last_used_at),
        "expires": None if record.expires_at is None else _timestamp(record.expires_at),
    }


def usage_row(daily: DailyUsage) -> Row:
    return {
        "day": daily.day.isoformat(),
        "model": daily.model,
        "kid": daily.kid,
        "requests": daily.requests,
        **asdict(daily.usage),
    }


def ledger_row(entry: LedgerEntry) -> Row:
    return {
        "entry": entry.entry_id,
        "admitted": _timestamp(entry.admitted_at_ms // 1000),
        "response": entry.response_id,
        "model": entry.model,
        "kid": entry.kid,
        "status": entry.status,
        "verdict": entry.verdict,
        "requests": entry.requests,
        **asdict(entry.usage),
    }


def difference_row(difference: Difference) -> Row:
    return {
        "project": difference.project_id,
        "what": difference.what,
        "ledger": difference.ledger,
        "counted": difference.counted,
    }


def as_json(answer: Answer) -> str:
    return json.dumps(answer, indent=2)


def as_table(answer: Answer) -> str:
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
    return not (name in QUOTAS and value is None) and not (name in MODES and value == "hard")


def _timestamp(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _cell(value: object) -> str:
    return "-" if value is None else str(value)
