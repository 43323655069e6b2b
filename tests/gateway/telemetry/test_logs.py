"""A line of the log is JSON, whatever is told."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from gateway.telemetry.logs import FIELDS, configure_logs


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
