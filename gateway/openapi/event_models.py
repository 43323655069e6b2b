"""The events of a streamed response as models, made of the classes that are sent.

A new event in `responses/events.py` is described as soon as it is there; a new
name of a field needs its line in `_FIELDS`.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, create_model

from gateway.openapi.answers import (
    AnswerModel,
    Count,
    ErrorFields,
    Logprob,
    OutputItem,
    OutputText,
    ReasoningText,
    Response,
)
from gateway.responses import events as ev
from gateway.responses.dialect import OPEN_RESPONSES


class EventTokenLogprob(AnswerModel):
    """A token that could have stood at this place, without its bytes."""

    token: str
    """The text of the token."""
    logprob: float
    """The natural logarithm of its probability."""


class EventLogprob(EventTokenLogprob):
    """A token of the answer, and what else could have stood at its place: as in the content of a
    message, without the bytes."""

    top_logprobs: list[EventTokenLogprob]
    """The likeliest tokens, as many as `top_logprobs` asks for."""


class AddedText(AnswerModel):
    """The part of a text that an event adds."""

    type: Literal["output_text", "reasoning_text"]
    """As in the part that it belongs to."""
    text: str
    """What is added."""
    annotations: list[Any] = []
    """Always empty."""
    logprobs: list[Logprob] = []
    """Empty unless asked for."""


class AddedOutput(AnswerModel):
    """An item of the output with just what an event adds to it."""

    id: str
    """The item."""
    type: Literal["message", "reasoning", "function_call"]
    """Its type."""
    role: Literal["assistant"] | None = None
    """Of a message."""
    content: list[AddedText] = []
    """Of a message or of reasoning."""
    name: str | None = None
    """Of a function call."""
    arguments: str | None = None
    """Of a function call."""


_FIELDS: dict[str, tuple[Any, str]] = {
    "response": (Response, "The response as it is now."),
    "item": (OutputItem, "The item as it is now."),
    "part": (OutputText | ReasoningText, "The part as it is now."),
    "item_id": (str, "The item that the event belongs to."),
    "output_index": (Count, "The item's place in the output."),
    "content_index": (Count, "The part's place in the item."),
    "delta": (str, "What is added; never empty."),
    "text": (str, "The text, whole."),
    "logprobs": (list[EventLogprob], "Of the tokens of this text, if asked for; else empty."),
    "name": (str, "The function."),
    "arguments": (str, "The arguments, whole."),
    "code": (str | None, "As error.code."),
    "message": (str, "As error.message."),
    "param": (str | None, "As error.param."),
    "error": (ErrorFields, "As the body of an HTTP error has it."),
}


def event_models() -> tuple[type[BaseModel], ...]:
    """One model for each class of event, in the order of `events.Event`."""
    return tuple(_model_of(event) for event in get_args(ev.Event))


def _model_of(event: type[Any]) -> type[BaseModel]:
    names = [field.name for field in dataclasses.fields(event)]
    types = tuple(
        dict.fromkeys((event.type, OPEN_RESPONSES.event_types.get(event.type, event.type)))
    )
    fields: dict[str, Any] = {
        "type": _described(Literal[types], "The name of the event."),
        "sequence_number": _described(Count, "0, 1, 2, ... without a gap."),
        **{name: _described(*_FIELDS[name]) for name in names},
        "id": _described(str, "The id of the response."),
        "model": _described(str, "The model of the response."),
        "output": _described(*_output_of(names)),
    }
    model: type[BaseModel] = create_model(event.__name__, __doc__=event.__doc__, **fields)
    return model


def _output_of(names: list[str]) -> tuple[Any, str]:
    if "response" in names:
        return list[OutputItem], "The output of the response."
    if "item" in names:
        return list[OutputItem], "The item."
    return list[AddedOutput], "The item, with just what the event adds to it."


def _described(type_: Any, description: str) -> tuple[Any, Any]:
    return Annotated[type_, Field(description=description)], ...
