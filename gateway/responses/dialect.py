"""The two ways in which clients want the same answer spelled.

The spec calls the response object `chat.completion`, and OpenAI's clients know
raw reasoning as `response.reasoning_text.*`. The Open Responses specification
wants `response` and `response.reasoning.*`. No spelling satisfies both, so a
client that sends the header `OpenResponses-Version` gets the second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ObjectName = Literal["chat.completion", "response"]

OPEN_RESPONSES_HEADER = "openresponses-version"


@dataclass(frozen=True, slots=True)
class Dialect:
    object_name: ObjectName = "chat.completion"
    # Events that are called something else, by their usual type.
    event_types: Mapping[str, str] = field(default_factory=dict)


OPEN_RESPONSES = Dialect(
    object_name="response",
    event_types={
        "response.reasoning_text.delta": "response.reasoning.delta",
        "response.reasoning_text.done": "response.reasoning.done",
    },
)
