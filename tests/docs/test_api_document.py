"""docs/api.md and docs/errors.md name what the code takes, sends and refuses: all of it, and no more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from gateway.openapi import answers
from gateway.responses.error_table import ERROR_TABLE
from gateway.responses.events import Event
from gateway.responses.request import CreateResponse

API = Path("docs/api.md").read_text()
ERRORS = Path("docs/errors.md").read_text()


def table(section: str, nth: int = 0) -> list[list[str]]:
    """The cells of the *nth* table of a section, without its head."""
    text = re.split(r"^## ", API, flags=re.MULTILINE)
    body = next(part for part in text if part.startswith(section + "\n"))
    tables = re.findall(r"(?:^\|.*\n)+", body, re.MULTILINE)
    rows = tables[nth].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_field_of_a_request_is_documented() -> None:
    documented = [names(field)[0] for field, *_ in table("The request")]
    assert documented == list(CreateResponse.model_fields)


def test_every_key_of_a_response_and_of_its_items_is_documented() -> None:
    documented = [names(key)[0] for key, _ in table("The response")]
    assert documented == list(answers.Response.model_fields)

    items = {names(type_)[0]: names(keys) for type_, keys in table("The response", 1)}
    assert items == {
        "reasoning": list(answers.OutputReasoning.model_fields),
        "message": list(answers.OutputMessage.model_fields),
        "function_call": list(answers.OutputFunctionCall.model_fields),
    }


def test_every_event_of_a_stream_is_documented_with_its_fields() -> None:
    documented = {names(type_)[0]: names(fields) for type_, fields, _ in table("The stream")}
    assert documented == {event.type: list(event.__slots__) for event in get_args(Event)}


def test_every_error_is_documented_as_the_code_has_it() -> None:
    rows = [line for line in ERRORS.splitlines() if re.match(r"\| \d", line)]
    assert rows == [
        f"| {kind.status} | {kind.type} | {', '.join(f'`{code}`' for code in kind.codes)}"
        f" | {kind.when} | {kind.try_again} |"
        for kind in ERROR_TABLE
    ]


def test_an_example_of_an_error_has_a_code_of_its_row() -> None:
    assert [kind.codes for kind in ERROR_TABLE if kind.example.code not in kind.codes] == []
