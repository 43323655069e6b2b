"""The body of POST /v1/chat/completions as one model, to describe it: it validates nothing.

It is put together of what validates: ChatRequest, and the fields of CreateResponse
that mean the same in a chat. What a chat spells differently, and what is looked
into only after it was translated, is spelled out here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, create_model
from pydantic.fields import FieldInfo

from gateway.chat.request import SHARED_FIELDS, ChatRequest
from gateway.responses.request import CreateResponse, ReasoningOptions, SchemaName, TextOptions
from gateway.responses.tools import MAX_TOOLS, FunctionName
from gateway.responses.validation import ApiModel


class ChatJsonSchema(ApiModel):
    """A JSON Schema with a name."""

    name: SchemaName
    """The name of the schema."""
    description: str | None = None
    """What the answer is for; the model reads it."""
    json_schema: dict[str, Any] = Field(alias="schema")
    """The JSON Schema of the answer."""
    strict: bool | None = None
    """Whether the answer must match the schema exactly."""


class ChatFormat(ApiModel):
    """How the answer is written: as text, or as JSON."""

    type: Literal["text", "json_object", "json_schema"]
    """Plain text, any JSON object, or JSON that matches a schema."""
    json_schema: ChatJsonSchema | None = None
    """Required with `json_schema`."""


class ChatFunction(ApiModel):
    """A function that the client runs."""

    name: FunctionName
    """The function's name, unique among the tools."""
    description: str | None = None
    """What the function does and when to call it; the model reads it."""
    parameters: dict[str, Any] | None = None
    """The JSON Schema of the arguments, an object; null for none."""
    strict: bool | None = None
    """Whether the arguments must match the schema exactly."""


class ChatTool(ApiModel):
    """A tool. The form of responses, with these fields beside `type`, is taken too."""

    type: Literal["function"]
    """Always `function`."""
    function: ChatFunction
    """The function."""


class FunctionOfName(ApiModel):
    """A function by its name."""

    name: FunctionName
    """The name of one of `tools`."""


class NamedTool(ApiModel):
    """This function."""

    type: Literal["function"]
    """Always `function`."""
    function: FunctionOfName
    """The function."""


class AllowedOfTools(ApiModel):
    """Which functions."""

    mode: Literal["auto", "required"]
    """Whether the model may call one of them, or must."""
    tools: Annotated[list[NamedTool], Field(min_length=1, max_length=MAX_TOOLS)]
    """The functions that may be called, each one of `tools`."""


class AllowedChatTools(ApiModel):
    """Only these functions may (auto) or must (required) be called."""

    type: Literal["allowed_tools"]
    """Always `allowed_tools`."""
    allowed_tools: AllowedOfTools
    """Which functions."""


_CHAT_TYPES: dict[str, Any] = {
    "reasoning_effort": ReasoningOptions.model_fields["effort"].annotation,
    "verbosity": TextOptions.model_fields["verbosity"].annotation,
    "response_format": ChatFormat,
    "tools": Annotated[list[ChatTool], Field(max_length=MAX_TOOLS)],
    "tool_choice": Literal["none", "auto", "required"] | NamedTool | AllowedChatTools,
    "n": Literal[1],
    "modalities": Annotated[list[Literal["text"]], Field(min_length=1, max_length=1)],
    **dict.fromkeys(
        ("stop", "logit_bias", "audio", "web_search_options", "functions", "function_call"), None
    ),
}

# Where CreateResponse speaks of the response, or of what OpenAI has in that API.
_CHAT_DESCRIPTIONS = {
    "seed": "Two identical requests with the same seed and temperature get the same answer;"
    " without a seed the choice is random.",
    "logprobs": "Whether to return the log probability of each token of the content.",
    "parallel_tool_calls": "Accepted; false acts as true. gpt-oss ends its turn with a call, so"
    " one call a completion is usual.",
    "metadata": "Up to 16 pairs of your own: keys of at most 64 characters, values of at most"
    " 512. Checked, but not returned: nothing is stored.",
    "store": "Accepted; true acts as false: completions are never stored.",
    "stream": "Whether to send the completion in chunks, while it is generated.",
    "user": "Your name for the end user; accepted.",
    "safety_identifier": "Your name for the end user, at most 128 characters; accepted.",
    "prompt_cache_key": "Requests with the same key go to the same worker while it has room.",
    "service_tier": "As for a response; the completion says as what it was served.",
}


def _field(name: str, field: FieldInfo) -> tuple[Any, Any]:
    type_ = _CHAT_TYPES[name] if name in _CHAT_TYPES else _type_of(field)
    description = _CHAT_DESCRIPTIONS.get(name, field.description)
    default = ... if field.is_required() else field.default
    return Annotated[type_, Field(description=description)], default


def _type_of(field: FieldInfo) -> Any:
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


def _model() -> type[BaseModel]:
    own, shared = ChatRequest.model_fields, CreateResponse.model_fields
    fields = {"model": shared["model"], **own, **{name: shared[name] for name in SHARED_FIELDS}}
    described: dict[str, Any] = {name: _field(name, field) for name, field in fields.items()}
    model: type[BaseModel] = create_model(
        "CreateChatCompletion", __base__=ApiModel, __doc__=ChatRequest.__doc__, **described
    )
    return model


CreateChatCompletion = _model()
