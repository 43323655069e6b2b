"""The body of POST /v1/chat/completions, as far as it is not that of POST /v1/responses.

SHARED_FIELDS are called and mean the same in both: their ranges and defaults
stand in `responses/request.py`, once. What is here differs in name or in form,
and is translated (`translation.py`), or is refused by name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from gateway.chat.messages import AssistantMessage, Message, ToolMessage
from gateway.responses.items import MAX_ITEMS
from gateway.responses.validation import ApiModel, refused

SHARED_FIELDS = (
    "model",
    "temperature",
    "top_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "tools",
    "parallel_tool_calls",
    "metadata",
    "moderation",
    "store",
    "stream",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "service_tier",
)

OutputTokens = Annotated[int, Field(ge=1)]

# Refused unless empty, with what to do instead. A stop sequence could only be
# cut off after it was generated and billed: workers stop at tokens, not at text.
_UNSUPPORTED = {
    "stop": "leave it out; the model ends its answers itself",
    "logit_bias": "leave it out",
    "audio": "this model writes text only",
    "web_search_options": "leave it out",
    "functions": "send 'tools'",
    "function_call": "send 'tool_choice'",
}


class ResponseFormat(ApiModel):
    """How the answer is written: as text, or as JSON."""

    type: Literal["text", "json_object", "json_schema"]
    """Plain text, any JSON object, or JSON that matches a schema."""
    json_schema: dict[str, Any] = {}
    """With `json_schema`: its `name` and `schema`, perhaps `strict` and `description`."""


class ChatStreamOptions(ApiModel):
    """Options of a stream."""

    include_usage: bool = False
    """Whether to send a last chunk with the usage, and no choice."""


class ChatRequest(ApiModel):
    """A request for a chat completion. A null is the same as leaving the field out; fields that
    are not named here are ignored."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_ITEMS, fail_fast=True)]
    """The conversation so far. Nothing is stored, so every request carries all of it."""
    max_completion_tokens: OutputTokens | None = None
    """The most tokens to generate, reasoning included; the deployment has a default and a
    maximum, and what is left of the context is a limit too."""
    max_tokens: OutputTokens | None = None
    """The old name of `max_completion_tokens`, which counts if both are there."""
    reasoning_effort: str | None = None
    """How long the model thinks: none, minimal, low, medium, high, xhigh or max. gpt-oss knows
    low, medium and high: the first two act as low, the last two as high."""
    verbosity: str | None = None
    """low, medium or high; accepted without effect: gpt-oss does not know it."""
    response_format: ResponseFormat | None = None
    """The form of the answer; plain text unless told otherwise."""
    tool_choice: Any = None
    """Whether the model may (`auto`), must (`required`) or must not (`none`) call functions, or
    which. Without tools it is none."""
    stream_options: ChatStreamOptions = ChatStreamOptions()
    """What a stream tells beside the answer."""
    n: Annotated[int, Field(ge=1)] = 1
    """Only 1: send the request again for another answer."""
    modalities: Annotated[list[str], Field(max_length=8, fail_fast=True)] = ["text"]
    """Only text."""
    stop: Any = None
    """Refused unless empty."""
    logit_bias: Any = None
    """Refused unless empty."""
    audio: Any = None
    """Refused unless null."""
    web_search_options: Any = None
    """Refused unless null."""
    functions: Any = None
    """Refused unless empty: send `tools`."""
    function_call: Any = None
    """Refused unless null: send `tool_choice`."""

    @model_validator(mode="after")
    def _is_served(self) -> ChatRequest:
        for field, instead in _UNSUPPORTED.items():
            if getattr(self, field) not in (None, "", [], {}):
                raise refused(
                    "unsupported_parameter",
                    f"'{field}' is not supported: {instead}.",
                    field=field,
                )
        if self.n != 1:
            raise refused("unsupported_value", "Only 1 is supported for 'n'.", field="n")
        if self.modalities != ["text"]:
            raise refused(
                "unsupported_value",
                "Only ['text'] is supported for 'modalities'.",
                field="modalities",
            )
        return self

    @model_validator(mode="after")
    def _outputs_have_calls(self) -> ChatRequest:
        called: set[str] = set()
        for index, message in enumerate(self.messages):
            if isinstance(message, AssistantMessage):
                called.update(call.id for call in message.tool_calls)
            elif isinstance(message, ToolMessage) and message.tool_call_id not in called:
                raise refused(
                    "invalid_value",
                    f"No tool call has the id '{message.tool_call_id}'. Send the assistant's"
                    " message with its 'tool_calls' before the output.",
                    field=f"messages[{index}].tool_call_id",
                )
        return self
