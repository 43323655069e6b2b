"""What the API answers, as models: they are only described by, never filled in.

Every key of an answer stands here, and every key that stands here without a
default is in every answer; the contract tests hold both against what is sent.
The string below a field is its description.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0)]


class AnswerModel(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class ErrorFields(AnswerModel):
    """What went wrong."""

    message: str
    """A sentence that says what to do."""
    type: str
    """The class of the error."""
    param: str | None
    """The field that is wrong: its path in the body."""
    code: str | None
    """What exactly went wrong, for programs."""


class ErrorBody(AnswerModel):
    """The body of every answer that is not 2xx."""

    error: ErrorFields
    """What went wrong."""


class TokenLogprob(AnswerModel):
    """A token that could have stood at this place."""

    token: str
    """The text of the token."""
    bytes: list[Annotated[int, Field(ge=0, le=255)]]
    """The bytes of the token, which need not be whole characters."""
    logprob: float
    """The natural logarithm of its probability."""


class Logprob(TokenLogprob):
    """A token of the answer, and what else could have stood at its place."""

    top_logprobs: list[TokenLogprob]
    """The likeliest tokens, as many as `top_logprobs` asks for."""


class OutputText(AnswerModel):
    """A part of the answer."""

    type: Literal["output_text"]
    """Always `output_text`."""
    text: str
    """The text."""
    annotations: list[Any]
    """Always empty."""
    logprobs: list[Logprob]
    """One entry a token, if asked for; else empty."""


class ReasoningText(AnswerModel):
    """A part of the reasoning."""

    type: Literal["reasoning_text"]
    """Always `reasoning_text`."""
    text: str
    """What the model thinks, as it is."""


ItemStatus = Literal["in_progress", "completed", "incomplete"]


class OutputMessage(AnswerModel):
    """Text for the user: the answer, or a preamble to a call."""

    id: str
    """Unique; `msg_` and hex digits, `msg_pre_` for a preamble."""
    type: Literal["message"]
    """Always `message`."""
    status: ItemStatus
    """incomplete if a limit or a failure has cut the item."""
    role: Literal["assistant"]
    """Always `assistant`."""
    phase: Literal["commentary", "final_answer"]
    """commentary for what is said before a call, final_answer for the answer."""
    content: list[OutputText]
    """The parts of the text."""


class OutputReasoning(AnswerModel):
    """What the model thought before it answered."""

    id: str
    """Unique; `rs_` and hex digits."""
    type: Literal["reasoning"]
    """Always `reasoning`."""
    status: ItemStatus
    """incomplete if a limit or a failure has cut the item."""
    summary: list[Any]
    """Always empty: gpt-oss writes no summaries."""
    content: list[ReasoningText]
    """The thoughts."""
    encrypted_content: str | None = None
    """The thoughts, encrypted, to be sent back; only there if `include` asks for it."""


class OutputFunctionCall(AnswerModel):
    """A call of one of your functions. Run it, and send the output with the next request."""

    id: str
    """Unique; `fc_` and hex digits."""
    type: Literal["function_call"]
    """Always `function_call`."""
    status: ItemStatus
    """incomplete if a limit or a failure has cut the item."""
    call_id: str
    """To be repeated in the function_call_output."""
    name: str
    """The function."""
    arguments: str
    """The arguments as the model wrote them: JSON in a string, not checked."""


OutputItem = OutputMessage | OutputReasoning | OutputFunctionCall


class ResponseError(AnswerModel):
    """Why a response has failed."""

    code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]
    """One of OpenAI's codes."""
    message: str
    """A sentence."""


class IncompleteDetails(AnswerModel):
    """Why a response is incomplete."""

    reason: Literal["max_output_tokens", "content_filter"]
    """The limit that has cut it."""


class EchoedReasoning(AnswerModel):
    """How the model has reasoned."""

    effort: Literal["low", "medium", "high"]
    """The effort that was used."""
    summary: Literal["auto", "concise", "detailed"] | None
    """As in the request."""


class PlainFormat(AnswerModel):
    """Text, or any JSON object."""

    type: Literal["text", "json_object"]
    """text, or any JSON object."""


class SchemaFormat(AnswerModel):
    """JSON that matches a schema."""

    type: Literal["json_schema"]
    """Always `json_schema`."""
    name: str
    """As in the request."""
    description: str | None
    """As in the request."""
    json_schema: dict[str, Any] = Field(alias="schema")
    """As in the request."""
    strict: bool
    """As in the request; false if it was left out."""


class EchoedText(AnswerModel):
    """How the answer was to be written."""

    format: PlainFormat | SchemaFormat
    """The form of the answer."""
    verbosity: Literal["low", "medium", "high"]
    """As in the request; medium if it was left out."""


class EchoedTool(AnswerModel):
    """A function, with every key."""

    type: Literal["function"]
    """Always `function`."""
    name: str
    """As in the request."""
    description: str | None
    """As in the request."""
    parameters: dict[str, Any] | None
    """As in the request."""
    strict: bool | None
    """As in the request."""


class ChosenFunction(AnswerModel):
    """This function."""

    type: Literal["function"]
    """Always `function`."""
    name: str
    """The function."""


class ChosenTools(AnswerModel):
    """Only these functions."""

    type: Literal["allowed_tools"]
    """Always `allowed_tools`."""
    mode: Literal["auto", "required"]
    """As in the request."""
    tools: list[ChosenFunction]
    """The functions."""


class InputTokensDetails(AnswerModel):
    """What the input tokens were."""

    cached_tokens: Count
    """Read from the prefix cache."""
    cache_write_tokens: Literal[0]
    """Always 0: writing to the cache is not charged."""


class OutputTokensDetails(AnswerModel):
    """What the output tokens were."""

    reasoning_tokens: Count
    """Spent on reasoning."""


class TokenUsage(AnswerModel):
    """What the response has used, and what is charged."""

    input_tokens: Count
    """Tokens of the prompt, as the model reads it."""
    input_tokens_details: InputTokensDetails
    """What they were."""
    output_tokens: Count
    """Every token that was generated, reasoning and control tokens included."""
    output_tokens_details: OutputTokensDetails
    """What they were."""
    total_tokens: Count
    """Both together."""


class Response(AnswerModel):
    """A response. Every key is always there."""

    id: str
    """A UUID; it sorts by time."""
    object: Literal["chat.completion", "response"]
    """`chat.completion`; `response` in the dialect of Open Responses."""
    created_at: int
    """Unix time in seconds."""
    completed_at: int | None
    """Unix time in seconds; null unless completed."""
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    """in_progress only while it is streamed."""
    incomplete_details: IncompleteDetails | None
    """Why it is incomplete."""
    error: ResponseError | None
    """Why it has failed."""
    model: str
    """The model that has answered, by its own name."""
    output: list[OutputItem]
    """What the model has written, in order."""
    output_text: str
    """The text of all messages of the output, joined."""
    background: Literal[False]
    """Always false."""
    frequency_penalty: float
    """As in the request."""
    instructions: str | None
    """As in the request."""
    max_output_tokens: int | None
    """As in the request, also if there was less room."""
    max_tool_calls: int | None
    """As in the request."""
    metadata: dict[str, str]
    """As in the request."""
    parallel_tool_calls: Literal[True]
    """Always true."""
    presence_penalty: float
    """As in the request."""
    previous_response_id: None
    """Always null."""
    prompt_cache_key: str | None
    """As in the request."""
    reasoning: EchoedReasoning
    """How the model has reasoned."""
    safety_identifier: str | None
    """As in the request."""
    service_tier: Literal["priority", "default", "flex"]
    """As what the request was served."""
    store: Literal[False]
    """Always false."""
    temperature: float
    """As in the request; 1 if it was left out."""
    text: EchoedText
    """How the answer was to be written."""
    tool_choice: Literal["none", "auto", "required"] | ChosenFunction | ChosenTools
    """As in the request; none without tools."""
    tools: list[EchoedTool]
    """As in the request, with every key."""
    top_logprobs: Annotated[int, Field(ge=0, le=20)]
    """As in the request."""
    top_p: float
    """As in the request; 1 if it was left out."""
    truncation: Literal["disabled"]
    """Always `disabled`."""
    user: str | None
    """As in the request."""
    usage: TokenUsage | None
    """What it has used; null until it ends."""


class InputTokens(AnswerModel):
    """How long a prompt is."""

    object: Literal["response.input_tokens"]
    """Always `response.input_tokens`."""
    input_tokens: Count
    """Tokens of the prompt, as the model would read it."""


class Model(AnswerModel):
    """A model that is served."""

    id: str
    """The name to ask for it."""
    object: Literal["model"]
    """Always `model`."""
    created: int
    """Unix time in seconds since when it is served."""
    owned_by: str
    """Who has made it."""


class ModelList(AnswerModel):
    """The models that are served."""

    object: Literal["list"]
    """Always `list`."""
    data: list[Model]
    """One entry a model."""
