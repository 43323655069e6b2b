"""The events of a streamed response, in the API's own names.

The fields of each class are the fields of the event, in order, next to `type`
and `sequence_number`, which `sse.py` adds. `item`, `part` and `response` are
JSON objects, ready to be sent. The docstrings stand in the API's reference.

    stream    = created in_progress item* (completed | incomplete | [error] failed)
    item      = output_item.added body output_item.done     one open at a time
    message   = content_part.added output_text.delta+ output_text.done content_part.done
    reasoning = content_part.added reasoning_text.delta+ reasoning_text.done content_part.done
    call      = function_call_arguments.delta* function_call_arguments.done
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class ResponseCreated:
    """The first event: the response has its id."""

    type: ClassVar[str] = "response.created"
    response: Json


@dataclass(frozen=True, slots=True)
class ResponseInProgress:
    """The model is about to answer."""

    type: ClassVar[str] = "response.in_progress"
    response: Json


@dataclass(frozen=True, slots=True)
class OutputItemAdded:
    """An item of the output begins."""

    type: ClassVar[str] = "response.output_item.added"
    output_index: int
    item: Json


@dataclass(frozen=True, slots=True)
class ContentPartAdded:
    """A part of a message or of reasoning begins."""

    type: ClassVar[str] = "response.content_part.added"
    item_id: str
    output_index: int
    content_index: int
    part: Json


@dataclass(slots=True)  # not frozen: that costs a microsecond a chunk
class OutputTextDelta:
    """The answer goes on."""

    type: ClassVar[str] = "response.output_text.delta"
    item_id: str
    output_index: int
    content_index: int
    delta: str
    logprobs: list[Json]


@dataclass(frozen=True, slots=True)
class OutputTextDone:
    """A part of the answer, whole."""

    type: ClassVar[str] = "response.output_text.done"
    item_id: str
    output_index: int
    content_index: int
    text: str
    logprobs: list[Json]


@dataclass(slots=True)  # as above
class ReasoningTextDelta:
    """The reasoning goes on."""

    type: ClassVar[str] = "response.reasoning_text.delta"
    item_id: str
    output_index: int
    content_index: int
    delta: str


@dataclass(frozen=True, slots=True)
class ReasoningTextDone:
    """A part of the reasoning, whole."""

    type: ClassVar[str] = "response.reasoning_text.done"
    item_id: str
    output_index: int
    content_index: int
    text: str


@dataclass(slots=True)  # as above
class FunctionCallArgumentsDelta:
    """The arguments of a call go on."""

    type: ClassVar[str] = "response.function_call_arguments.delta"
    item_id: str
    output_index: int
    delta: str


@dataclass(frozen=True, slots=True)
class FunctionCallArgumentsDone:
    """The arguments of a call, whole."""

    type: ClassVar[str] = "response.function_call_arguments.done"
    item_id: str
    output_index: int
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ContentPartDone:
    """A part of a message or of reasoning has ended."""

    type: ClassVar[str] = "response.content_part.done"
    item_id: str
    output_index: int
    content_index: int
    part: Json


@dataclass(frozen=True, slots=True)
class OutputItemDone:
    """An item of the output has ended."""

    type: ClassVar[str] = "response.output_item.done"
    output_index: int
    item: Json


@dataclass(frozen=True, slots=True)
class ResponseCompleted:
    """The last event: the response is whole."""

    type: ClassVar[str] = "response.completed"
    response: Json


@dataclass(frozen=True, slots=True)
class ResponseIncomplete:
    """The last event: a limit has cut the response."""

    type: ClassVar[str] = "response.incomplete"
    response: Json


@dataclass(frozen=True, slots=True)
class Error:
    """What went wrong, told flat and nested: OpenAI's clients read one, their exceptions the
    other."""

    type: ClassVar[str] = "error"
    code: str | None
    message: str
    param: str | None
    error: Json


@dataclass(frozen=True, slots=True)
class ResponseFailed:
    """The last event: the response has failed."""

    type: ClassVar[str] = "response.failed"
    response: Json


Lifecycle = ResponseCreated | ResponseInProgress
Delta = OutputTextDelta | ReasoningTextDelta | FunctionCallArgumentsDelta
Terminal = ResponseCompleted | ResponseIncomplete | ResponseFailed

Event = (
    Lifecycle
    | OutputItemAdded
    | ContentPartAdded
    | Delta
    | OutputTextDone
    | ReasoningTextDone
    | FunctionCallArgumentsDone
    | ContentPartDone
    | OutputItemDone
    | Error
    | Terminal
)
