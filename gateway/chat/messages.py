"""The messages of a chat: what a client may put into the conversation.

An assistant's message may carry the reasoning it was answered with, under
either name it has in the wild; gpt-oss needs it until its call is answered.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Never

from pydantic import Discriminator, Field, Tag

from gateway.responses.items import MAX_CALL_ID_CHARS, MAX_ITEMS, Content, Text
from gateway.responses.tools import FunctionName
from gateway.responses.validation import ApiModel, refuse

CallId = Annotated[str, Field(min_length=1, max_length=MAX_CALL_ID_CHARS)]


class Instruction(ApiModel):
    """What the developer tells the model; the two roles are one to gpt-oss."""

    role: Literal["system", "developer"]
    """Who speaks."""
    content: Content
    """The text, or parts of it."""


class UserMessage(ApiModel):
    """What the user says."""

    role: Literal["user"]
    """Always `user`."""
    content: Content
    """The text, or parts of it. The model reads text only."""


class CalledFunction(ApiModel):
    """A function, and what it was called with."""

    name: FunctionName
    """The function that was called."""
    arguments: Text
    """The arguments as the model wrote them: JSON in a string."""


class ToolCall(ApiModel):
    """A call that the model made in an earlier completion."""

    id: CallId
    """Ties the call to its output; at most 64 characters."""
    type: Literal["function"] = "function"
    """Always `function`."""
    function: CalledFunction
    """What was called."""


class AssistantMessage(ApiModel):
    """What the model answered in an earlier completion. An empty one is left out: it is what a
    completion has when its tokens ran out while it reasoned."""

    role: Literal["assistant"]
    """Always `assistant`."""
    content: Content = ""
    """The answer, or with `tool_calls` what was said before them."""
    refusal: Text = ""
    """Stands for the content where that is empty."""
    reasoning_content: Text = ""
    """What the model thought; it reads it only while the turn it belongs to goes on."""
    reasoning: Text = ""
    """The other name of `reasoning_content`, which counts if both are there."""
    tool_calls: Annotated[list[ToolCall], Field(max_length=MAX_ITEMS, fail_fast=True)] = []
    """The calls that the model made."""


class ToolMessage(ApiModel):
    """What the client's function returned for a call."""

    role: Literal["tool"]
    """Always `tool`."""
    tool_call_id: CallId
    """The id of a call in an earlier message."""
    content: Content
    """What the function returned, as text."""


_TAGS = {
    "system": "=instruction",
    "developer": "=instruction",
    "user": "=user",
    "assistant": "=assistant",
    "tool": "=tool",
    "function": "=function",
}


def _tag_of_message(message: Any) -> str:
    role = message.get("role") if isinstance(message, dict) else None
    if role is None:
        return "=user"  # whose model says what is missing
    return _TAGS.get(role, "=unknown") if isinstance(role, str) else "=unknown"


Message = Annotated[
    Annotated[Instruction, Tag("=instruction")]
    | Annotated[UserMessage, Tag("=user")]
    | Annotated[AssistantMessage, Tag("=assistant")]
    | Annotated[ToolMessage, Tag("=tool")]
    | Annotated[
        Never,
        refuse(
            "unsupported_value",
            "The role 'function' is not supported: send 'tool', with the id of the call.",
            field="role",
        ),
        Tag("=function"),
    ]
    | Annotated[
        Never,
        refuse(
            "invalid_value",
            "Supported roles are 'system', 'developer', 'user', 'assistant' and 'tool'.",
            field="role",
        ),
        Tag("=unknown"),
    ],
    Discriminator(_tag_of_message),
]
