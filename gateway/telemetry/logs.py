"""Logs: one JSON object a line, for machines that index them.

What a tenant sent or received is never logged, nor is any key.
"""

from __future__ import annotations

import datetime
import json
import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import IO

import orjson

# The logger of changes: to be kept apart, and longer.
AUDIT = "gateway.audit"
# What a record may carry in `extra={"fields": {...}}`.
FIELDS = "fields"


def log_fields(log: logging.Logger, message: str, fields: Mapping[str, object]) -> None:
    """`log.info` with *fields*, for what is said of every request: nobody looks for the caller in
    the source, and that takes a quarter of what a line does."""
    if log.isEnabledFor(logging.INFO):
        record = logging.LogRecord(log.name, logging.INFO, __file__, 0, message, (), None)
        setattr(record, FIELDS, fields)
        log.handle(record)


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        second, fraction = divmod(record.created, 1)
        line: dict[str, object] = {
            "ts": f"{_date_and_time(int(second))}.{int(1000 * fraction):03}Z",
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


@lru_cache(maxsize=1)  # there are many lines a second
def _date_and_time(unix_time: int) -> str:
    at = datetime.datetime.fromtimestamp(unix_time, tz=datetime.UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S")


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
    # Of a record nobody reads its thread and process (the logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Who changed what is told whatever the level: a log of changes must have no gaps.
    logging.getLogger(AUDIT).setLevel(logging.INFO)
    # Every request has a line of ours; uvicorn's would be a second one.
    logging.getLogger("uvicorn.access").disabled = True
