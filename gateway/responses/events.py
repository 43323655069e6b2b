"""The events of a streamed response, in the API's own names.

The fields of each class are the fields of the event, in order, next to `type`
and `sequence_number`, which `sse.py` adds. `item`, `part` and `response` are
JSON objects, ready to be sent.

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
    type: ClassVar[str] = "response.created"
    response: Json


@dataclass(frozen=True, slots=True)
class ResponseInProgress:
    type: ClassVar[str] = "response.in_progress"
    response: Json


@dataclass(frozen=True, slots=True)
class OutputItemAdded:
    type: ClassVar[str] = "response.output_item.added"
    output_index: int
    item: Json


@dataclass(frozen=True, slots=True)
class ContentPartAdded:
    type: ClassVar[str] = "response.content_part.added"
    item_id: str
    output_index: int
    content_index: int
    part: Json


@dataclass(frozen=True, slots=True)
class OutputTextDelta:
    type: ClassVar[str] = "response.output_text.delta"
    item_id: str
    output_index: int
    content_index: int
    delta: str
    logprobs: list[Json]


@dataclass(frozen=True, slots=True)
class OutputTextDone:
    type: ClassVar[str] = "response.output_text.done"
    item_id: str
    output_index: int
    content_index: int
    text: str
    logprobs: list[Json]


@dataclass(frozen=True, slots=True)
class ReasoningTextDelta:
    type: ClassVar[str] = "response.reasoning_text.delta"
    item_id: str
    output_index: int
    content_index: int
    delta: str


@dataclass(frozen=True, slots=True)
class ReasoningTextDone:
    type: ClassVar[str] = "response.reasoning_text.done"
    item_id: str
    output_index: int
    content_index: int
    text: str


@dataclass(frozen=True, slots=True)
class FunctionCallArgumentsDelta:
    type: ClassVar[str] = "response.function_call_arguments.delta"
    item_id: str
    output_index: int
    delta: str


@dataclass(frozen=True, slots=True)
class FunctionCallArgumentsDone:
    type: ClassVar[str] = "response.function_call_arguments.done"
    item_id: str
    output_index: int
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ContentPartDone:
    type: ClassVar[str] = "response.content_part.done"
    item_id: str
    output_index: int
    content_index: int
    part: Json


@dataclass(frozen=True, slots=True)
class OutputItemDone:
    type: ClassVar[str] = "response.output_item.done"
    output_index: int
    item: Json


@dataclass(frozen=True, slots=True)
class ResponseCompleted:
    type: ClassVar[str] = "response.completed"
    response: Json


@dataclass(frozen=True, slots=True)
class ResponseIncomplete:
    type: ClassVar[str] = "response.incomplete"
    response: Json


@dataclass(frozen=True, slots=True)
class Error:
    """Told twice, flat and nested: OpenAI's clients read one, their exceptions the other."""

    type: ClassVar[str] = "error"
    code: str | None
    message: str
    param: str | None
    error: Json


@dataclass(frozen=True, slots=True)
class ResponseFailed:
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
