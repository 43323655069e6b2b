"""A line of the log is JSON, whatever is told."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from gateway.telemetry.logs import FIELDS, JsonFormatter, configure_logs, log_fields


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    configure_logs("INFO", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_collector_that_is_away_is_no_error_of_ours(log: io.StringIO) -> None:
    logging.getLogger("opentelemetry.exporter").error("Failed to export")
    logging.getLogger("gateway").error("a bug")
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["level"] for line in lines] == ["warning", "error"]


@pytest.mark.parametrize(
    "told",
    ["a\nb\x00\x1b[31m", "\ud800", b"\xff", 2**70, {1: "\udfff"}, float("nan"), object()],
    ids=repr,
)
def test_whatever_is_told_is_one_line_of_json(log: io.StringIO, told: object) -> None:
    try:
        raise ValueError(told)
    except ValueError:
        logging.getLogger("gateway").exception("about %s", told, extra={FIELDS: {"it": told}})

    line, end = log.getvalue().split("\n")
    assert (json.loads(line)["msg"].startswith("about "), end) == (True, "")


def test_fields_are_told_as_they_are_and_only_at_a_level_that_is_asked_for(
    log: io.StringIO,
) -> None:
    gateway = logging.getLogger("gateway.x")
    log_fields(gateway, "request", {"status": 200})
    gateway.info("request", extra={FIELDS: {"status": 200}})
    logging.getLogger().setLevel("WARNING")
    log_fields(gateway, "request", {"status": 500})

    ours, usual = [json.loads(line) for line in log.getvalue().splitlines()]
    del ours["ts"], usual["ts"]
    assert ours == usual
    assert ours == {"level": "info", "logger": "gateway.x", "msg": "request", "status": 200}


@pytest.mark.parametrize(
    ("created", "expected"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_796_078_133.5, "2026-11-30T22:35:33.500Z"),
        (1_796_078_133.0625, "2026-11-30T22:35:33.062Z"),
        (1_796_078_134.0, "2026-11-30T22:35:34.000Z"),
    ],
)
def test_a_line_says_when_in_utc(created: float, expected: str) -> None:
    record = logging.makeLogRecord({"created": created})
    assert json.loads(JsonFormatter().format(record))["ts"] == expected
