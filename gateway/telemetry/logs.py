"""Logs: one JSON object a line, for machines that index them.

What a tenant sent or received is never logged, nor is any key.
"""

from __future__ import annotations

import datetime
import json
import logging
from collections.abc import Mapping
from typing import IO

import orjson

# The logger of changes: to be kept apart, and longer.
AUDIT = "gateway.audit"
# What a record may carry in `extra={"fields": {...}}`.
FIELDS = "fields"


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.datetime.fromtimestamp(record.created, tz=datetime.UTC)
        line: dict[str, object] = {
            "ts": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(line, default=str).decode()
        except TypeError:
            # Half a surrogate pair, an integer of more than 64 bits: orjson writes no such thing,
            # and the line would be lost.
            return json.dumps(_plain(line))


def _plain(line: Mapping[str, object]) -> Mapping[str, object]:
    """*line* with nothing in it but what JSON has."""
    return {
        name: each if isinstance(each, bool | None) else str(each) for name, each in line.items()
    }


def _tell_of_collectors_as_warnings(record: logging.LogRecord) -> bool:
    """A collector that is away is no error of ours: those are looked for by this level."""
    if record.name.startswith("opentelemetry.") and record.levelno == logging.ERROR:
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


def configure_logs(level: str, stream: IO[str]) -> None:
    """Send the logs of this process, its libraries' included, to *stream*."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(_tell_of_collectors_as_warnings)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Who changed what is told whatever the level: a log of changes must have no gaps.
    logging.getLogger(AUDIT).setLevel(logging.INFO)
    # Every request has a line of ours; uvicorn's would be a second one.
    logging.getLogger("uvicorn.access").disabled = True
