"""The body of POST /v1/responses: every field, its range and its default.

Field by field this follows the spec of the API; where OpenAI's clients send
more than the spec names, it is accepted, ignored or refused by name. Unknown
fields are ignored: Codex, for one, sends fields of its own.

How large its schemas may be is said by `schema_limits.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from gateway.harmony.conversation import Effort
from gateway.responses.items import Input
from gateway.responses.tools import (
    MAX_TOOLS,
    AllowedTools,
    FunctionTool,
    NamedFunction,
    Tool,
    ToolChoice,
)
from gateway.responses.validation import ApiModel, refused

MAX_METADATA_PAIRS = 16
MAX_METADATA_KEY_CHARS = 64
MAX_METADATA_VALUE_CHARS = 512

SchemaName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Penalty = Annotated[float, Field(ge=-2, le=2)]
# Validated by _check_stateless, which says more than a type could.
Refused = Annotated[Any, WithJsonSchema({"type": "null"})]

_EFFORTS = {
    "none": Effort.LOW,  # gpt-oss always reasons a little
    "minimal": Effort.LOW,
    "low": Effort.LOW,
    "medium": Effort.MEDIUM,
    "high": Effort.HIGH,
    "xhigh": Effort.HIGH,
    "max": Effort.HIGH,
}


def _pairs_are_few(metadata: Any) -> Any:
    # Before they are looked at: a million wrong ones would be a million errors.
    if isinstance(metadata, dict) and len(metadata) > MAX_METADATA_PAIRS:
        raise refused(
            "object_above_max_properties",
            f"'metadata' takes at most {MAX_METADATA_PAIRS} pairs.",
        )
    return metadata


Metadata = Annotated[dict[str, str], BeforeValidator(_pairs_are_few)]


class ReasoningOptions(ApiModel):
    """How the model reasons before it answers."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] = "medium"
    """How long the model thinks. gpt-oss knows low, medium and high: none and minimal act as low,
    xhigh and max as high; the response says which was used."""
    summary: Literal["auto", "concise", "detailed"] | None = None
    """Accepted and echoed without effect: gpt-oss writes no summaries, its reasoning is returned
    as it is."""
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    """The old name of `summary`."""

    @property
    def effective_effort(self) -> Effort:
        """What gpt-oss knows of the effort that was asked for."""
        return _EFFORTS[self.effort]


class TextFormat(ApiModel):
    """How the answer is written: as text, or as JSON."""

    type: Literal["text", "json_object", "json_schema"]
    """Plain text, any JSON object, or JSON that matches `schema`."""
    name: SchemaName | None = None
    """The name of the schema; required with `json_schema`."""
    description: str | None = None
    """What the answer is for; the model reads it."""
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    """The JSON Schema of the answer; required with `json_schema`."""
    strict: bool | None = None
    """Whether the answer must match the schema exactly."""

    @model_validator(mode="after")
    def _schema_has_a_name(self) -> TextFormat:
        if self.type == "json_schema":
            for field, value in (("name", self.name), ("schema", self.json_schema)):
                if value is None:
                    raise refused(
                        "missing_required_parameter",
                        f"Missing required parameter: 'text.format.{field}'.",
                        field=field,
                    )
        return self

    def echoed(self) -> dict[str, object]:
        """As the response repeats it."""
        if self.type != "json_schema":
            return {"type": self.type}
        return {
            "type": "json_schema",
            "name": self.name,
            "description": self.description,
            "schema": self.json_schema,
            "strict": self.strict or False,
        }


class TextOptions(ApiModel):
    """How the answer is written."""

    format: TextFormat = TextFormat(type="text")
    """The form of the answer; plain text unless told otherwise."""
    verbosity: Literal["low", "medium", "high"] = "medium"
    """Accepted and echoed without effect: gpt-oss does not know it."""


class StreamOptions(ApiModel):
    """Options of a stream."""

    include_obfuscation: bool = False
    """Accepted without effect: no obfuscation is sent."""


Include = Literal[
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
    # Accepted without effect: they belong to tools and media we do not have,
    # and clients ask for them whatever they are talking to.
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "message.input_image.image_url",
]


class CreateResponse(ApiModel):
    """A request for a response. A null is the same as leaving the field out; fields that are not
    named here are ignored."""

    model: Annotated[str, Field(min_length=1)]
    """The model to ask, by its name or an alias of it: `gpt-oss-120b`."""
    input: Input
    """What the model answers: a string, or the items of the conversation so far. Nothing is
    stored, so every request carries the whole conversation."""
    instructions: str | None = None
    """A system message that stands before the input."""
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    """The most tokens to generate, reasoning included; the deployment has a default and a
    maximum, and what is left of the context is a limit too. OpenAI takes no less than 16, this
    API 1."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    """Randomness: 0 always takes the likeliest token, higher values take others more often."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The next token is chosen among the likeliest that together have this probability; 0 cannot
    be used."""
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    """Two identical requests with the same seed and temperature get the same answer; without a
    seed the choice is random. OpenAI has no such field in this API."""
    presence_penalty: Penalty = 0.0
    """Above 0, tokens that have occurred become less likely; below 0, likelier."""
    frequency_penalty: Penalty = 0.0
    """As presence_penalty, growing with how often a token has occurred."""
    logprobs: bool = False
    """Whether to return the log probability of each token of the answer; the same as
    `message.output_text.logprobs` in `include`. Not a field of OpenAI's."""
    top_logprobs: Annotated[int, Field(ge=0, le=20)] = 0
    """How many of the likeliest tokens to return at each place; above 0 it needs `logprobs:
    true`."""
    include: Annotated[list[Include], Field(fail_fast=True)] = []
    """What to return beside the usual: reasoning in encrypted form, or log probabilities. The
    other values belong to tools and media that are not served; they are accepted without effect.
    """
    reasoning: ReasoningOptions = ReasoningOptions()
    """Options of the reasoning; medium effort unless told otherwise."""
    text: TextOptions = TextOptions()
    """Options of the answer's form; plain text unless told otherwise."""
    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS)] = []
    """The functions that the model may call, and your client runs; their names must differ. No
    tools of other types are served."""
    tool_choice: ToolChoice = "auto"
    """Whether the model may (`auto`), must (`required`) or must not (`none`) call functions, or
    which. Without tools it is none."""
    # gpt-oss ends its turn with a call, and the spec says that false is ignored.
    parallel_tool_calls: bool = True
    """Accepted; false acts as true. gpt-oss ends its turn with a call, so one call a response is
    usual."""
    max_tool_calls: Annotated[int, Field(ge=1)] | None = None
    """Accepted and echoed without effect: it counts tools that run on the server, of which there
    are none."""
    metadata: Metadata = {}
    """Up to 16 pairs of your own, returned as they are: keys of at most 64 characters, values of
    at most 512."""
    # The answer is never stored; the fields about storing are accepted or
    # refused so that a client learns it where it matters to it.
    store: bool = False
    """Accepted; true acts as false: responses are never stored."""
    previous_response_id: Refused = None
    """Refused unless null: nothing is stored. Send the whole conversation in `input`."""
    conversation: Refused = None
    """Refused unless null: nothing is stored."""
    prompt: Refused = None
    """Refused unless null: there are no stored prompts."""
    context_management: Refused = None
    """Refused unless null."""
    moderation: Refused = None
    """Refused unless null."""
    background: Annotated[bool, WithJsonSchema({"const": False})] = False
    """Refused if true: a response is returned by the request that asks for it."""
    truncation: Annotated[str, WithJsonSchema({"const": "disabled"})] = "disabled"
    """Only `disabled`: an input that is too long is refused, never cut."""
    stream: bool = False
    """Whether to send the response as server-sent events, while it is generated."""
    stream_options: StreamOptions | None = None
    """Options of a stream."""
    user: str | None = None
    """Your name for the end user; echoed."""
    safety_identifier: Annotated[str, Field(max_length=128)] | None = None
    """Your name for the end user, at most 128 characters; echoed."""
    prompt_cache_key: str | None = None
    """Echoed. Requests with the same key go to the same worker while it has room, and find their
    prefixes in its cache; without one, what the prompts begin with decides."""
    service_tier: (
        Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"] | None
    ) = None
    """How urgent it is when the workers are busy. `priority` (also called `fast` and `ultrafast`)
    goes before others if the key may ask for it, `flex` behind them and waits longest;
    the response says as what it was served."""

    @model_validator(mode="after")
    def _fields_agree(self) -> CreateResponse:
        _check_metadata(self.metadata)
        _check_stateless(self)
        if self.truncation != "disabled":
            raise refused(
                "unsupported_value",
                "Only 'disabled' is supported for 'truncation'.",
                field="truncation",
            )
        if self.top_logprobs and not self.wants_logprobs:
            raise refused(
                "invalid_value",
                "'logprobs' must be true to use 'top_logprobs'.",
                field="top_logprobs",
            )
        _check_tools(self)
        return self

    @property
    def wants_encrypted_reasoning(self) -> bool:
        return "reasoning.encrypted_content" in self.include

    @property
    def callable_tools(self) -> list[FunctionTool]:
        """Those that `tool_choice` lets the model call."""
        match self.tool_choice:
            case "none":
                return []
            case NamedFunction(name=name):
                names = {name}
            case AllowedTools(tools=allowed):
                names = {tool.name for tool in allowed}
            case _:
                return self.tools
        return [tool for tool in self.tools if tool.name in names]

    @property
    def wants_logprobs(self) -> bool:
        return self.logprobs or "message.output_text.logprobs" in self.include


def _check_metadata(metadata: dict[str, str]) -> None:
    for key, value in metadata.items():
        if len(key) > MAX_METADATA_KEY_CHARS or len(value) > MAX_METADATA_VALUE_CHARS:
            raise refused(
                "string_above_max_length",
                f"A key of 'metadata' takes at most {MAX_METADATA_KEY_CHARS} characters,"
                f" a value {MAX_METADATA_VALUE_CHARS}.",
                field="metadata",
            )


def _check_stateless(request: CreateResponse) -> None:
    if request.previous_response_id is not None:
        raise refused(
            "previous_response_not_found",
            "Responses are not stored: send the whole conversation in 'input' instead of"
            " 'previous_response_id'.",
            field="previous_response_id",
        )
    for field in ("conversation", "prompt", "context_management", "moderation"):
        if getattr(request, field) is not None:
            raise refused("unsupported_parameter", f"'{field}' is not supported.", field=field)
    if request.background:
        raise refused(
            "unsupported_parameter",
            "Responses cannot be created in the background: leave 'background' out.",
            field="background",
        )


def _check_tools(request: CreateResponse) -> None:
    names: set[str] = set()
    for index, tool in enumerate(request.tools):
        if tool.name in names:
            raise refused(
                "invalid_value",
                f"Two tools are called '{tool.name}': their names must differ.",
                field=f"tools[{index}].name",
            )
        names.add(tool.name)
    choice = request.tool_choice
    if choice == "required" and not names:
        raise refused(
            "invalid_value", "A tool is required, but there are none.", field="tool_choice"
        )
    chosen: list[str] = []
    if isinstance(choice, NamedFunction):
        chosen = [choice.name]
    elif isinstance(choice, AllowedTools):
        chosen = [tool.name for tool in choice.tools]
    for name in chosen:
        if name not in names:
            raise refused(
                "invalid_value",
                f"The function '{name}' is not among 'tools'.",
                field="tool_choice",
            )
