"""docs/api.md and docs/errors.md name what the code takes, sends and refuses: all of it, and no more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from gateway.openapi import answers, chat_answers
from gateway.openapi.chat_request import CreateChatCompletion
from gateway.openapi.document import build_document
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


def described(model: type[BaseModel]) -> list[tuple[str, str]]:
    """The fields of *model* with their descriptions, which are wrapped in the source only."""
    fields = model.model_fields.items()
    return [(name, " ".join((field.description or "").split())) for name, field in fields]


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


def test_every_field_of_a_chat_is_documented_in_the_words_of_the_reference() -> None:
    documented = [(names(field)[0], means) for field, _, means in table("Chat completions")]
    assert documented == described(CreateChatCompletion)


def test_every_key_of_a_completion_and_of_its_message_is_documented() -> None:
    completion, message = (
        [(names(key)[0], is_) for key, is_ in table("Chat completions", nth)] for nth in (1, 2)
    )
    assert completion == described(chat_answers.ChatCompletion)
    assert message == described(chat_answers.CompletionMessage)


def test_every_key_of_a_chunk_is_documented() -> None:
    (sentence,) = re.findall(r"^A chunk has (.*?)\.\s", API, re.MULTILINE | re.DOTALL)
    keys = set(names(sentence)) - {"chat.completion.chunk", "delta"}
    assert keys | {"usage"} == set(chat_answers.ChatCompletionChunk.model_fields)


def test_every_header_of_an_answer_is_documented() -> None:
    documented = [name for cell, _ in table("Operations", 1) for name in names(cell)]
    document: dict[str, Any] = build_document([], version="0")
    assert sorted(documented) == sorted(document["components"]["headers"])


def test_every_error_is_documented_as_the_code_has_it() -> None:
    rows = [line for line in ERRORS.splitlines() if re.match(r"\| \d", line)]
    assert rows == [
        f"| {kind.status} | {kind.type} | {', '.join(f'`{code}`' for code in kind.codes)}"
        f" | {kind.when} | {kind.try_again} |"
        for kind in ERROR_TABLE
    ]


def test_an_example_of_an_error_has_a_code_of_its_row() -> None:
    assert [kind.codes for kind in ERROR_TABLE if kind.example.code not in kind.codes] == []
