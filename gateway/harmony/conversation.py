"""What a prompt is made of, before it is harmony: a conversation and its turns."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class Effort(enum.StrEnum):
    """How long gpt-oss thinks. It was trained on these three words and no other."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call. *parameters* is a JSON schema, any JSON object at all."""

    name: str
    description: str
    parameters: Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """The JSON the answer shall be."""

    name: str
    description: str | None
    schema: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class UserMessage:
    text: str


@dataclass(frozen=True, slots=True)
class DeveloperMessage:
    """A system or developer message further down; those at the start are the instructions."""

    text: str


@dataclass(frozen=True, slots=True)
class AssistantMessage:
    """An answer, or with *commentary* what the model told the user before a tool call."""

    text: str
    commentary: bool = False


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What the model thought. It is shown to it again until it has answered."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    name: str
    arguments: str  # JSON, as the model wrote it: it may be broken


@dataclass(frozen=True, slots=True)
class ToolOutput:
    name: str  # of the function that was called
    output: str


Turn = UserMessage | DeveloperMessage | AssistantMessage | Reasoning | ToolCall | ToolOutput


@dataclass(frozen=True, slots=True)
class Conversation:
    """All that the model is shown."""

    current_date: str  # YYYY-MM-DD
    effort: Effort
    instructions: str | None
    tools: Sequence[Tool]  # those the model may see
    response_format: ResponseFormat | None  # None = plain text
    turns: Sequence[Turn]
