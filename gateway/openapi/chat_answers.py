"""What chat completions answer, whole and in chunks, as models: see `answers.py`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from gateway.openapi.answers import AnswerModel, Count, ErrorFields

# A key that is not always there, but is never null.
NOT_ALWAYS: Any = None

FinishReason = Literal["stop", "length", "tool_calls"]


class ChatTokenLogprob(AnswerModel):
    """A token that could have stood at this place."""

    token: str
    """The text of the token."""
    logprob: float
    """The natural logarithm of its probability."""
    bytes: list[Annotated[int, Field(ge=0, le=255)]] | None
    """The bytes of the token; null in a chunk if they are no whole characters."""


class ChatLogprob(ChatTokenLogprob):
    """A token of the answer, and what else could have stood at its place."""

    top_logprobs: list[ChatTokenLogprob]
    """The likeliest tokens, as many as `top_logprobs` asks for."""


class ChatLogprobs(AnswerModel):
    """How likely the tokens of the content are."""

    content: list[ChatLogprob]
    """One entry a token."""
    refusal: None
    """Always null."""


class CalledWith(AnswerModel):
    """A function, and what it is called with."""

    name: str
    """The function."""
    arguments: str
    """The arguments as the model wrote them: JSON in a string, not checked."""


class CompletionToolCall(AnswerModel):
    """A call of one of your functions. Run it, and send the output with the next request."""

    id: str
    """To be repeated in the message with the output."""
    type: Literal["function"]
    """Always `function`."""
    function: CalledWith
    """What is called."""


class CompletionMessage(AnswerModel):
    """What the model answers. Send it back as it is when the conversation goes on."""

    role: Literal["assistant"]
    """Always `assistant`."""
    content: str | None
    """The answer, or what is said before a call; null if there is no text."""
    refusal: None
    """Always null: a refusal is content."""
    annotations: list[Any]
    """Always empty."""
    reasoning_content: str = NOT_ALWAYS
    """What the model thought before it answered, as it is. Not a key of OpenAI's."""
    reasoning: str = NOT_ALWAYS
    """The same as `reasoning_content`: clients look for one name or the other."""
    tool_calls: list[CompletionToolCall] = NOT_ALWAYS
    """The calls; there only if there is one."""


class CompletionChoice(AnswerModel):
    """The answer."""

    index: Literal[0]
    """Always 0."""
    message: CompletionMessage
    """What the model answers."""
    logprobs: ChatLogprobs | None
    """How likely its tokens are; null unless asked for."""
    finish_reason: FinishReason
    """tool_calls if the model calls a function, also one it had to; length if the tokens ran out;
    else stop."""


class PromptTokensDetails(AnswerModel):
    """What the tokens of the prompt were."""

    cached_tokens: Count
    """Read from the prefix cache."""


class CompletionTokensDetails(AnswerModel):
    """What the generated tokens were."""

    reasoning_tokens: Count
    """Spent on reasoning."""


class CompletionUsage(AnswerModel):
    """What the completion has used, and what is charged."""

    prompt_tokens: Count
    """Tokens of the prompt, as the model reads it."""
    completion_tokens: Count
    """Every token that was generated, reasoning and control tokens included."""
    total_tokens: Count
    """Both together."""
    prompt_tokens_details: PromptTokensDetails
    """What those of the prompt were."""
    completion_tokens_details: CompletionTokensDetails
    """What the generated ones were."""


class ChatCompletion(AnswerModel):
    """A chat completion."""

    id: str
    """Unique; `chatcmpl-` and hex digits."""
    object: Literal["chat.completion"]
    """Always `chat.completion`."""
    created: int
    """Unix time in seconds."""
    model: str
    """The model that has answered, by its own name."""
    choices: Annotated[list[CompletionChoice], Field(min_length=1, max_length=1)]
    """The answer: always one."""
    usage: CompletionUsage
    """What it has used."""
    service_tier: Literal["priority", "default", "flex"]
    """As what the request was served."""
    system_fingerprint: None
    """Always null."""


class CalledWithMore(AnswerModel):
    """The function, and the arguments as they come."""

    name: str = NOT_ALWAYS
    """The function; in the first chunk of the call."""
    arguments: str
    """What is added to the arguments; empty in the first chunk."""


class ToolCallDelta(AnswerModel):
    """What is added to a call. The first chunk has all keys, later ones add arguments."""

    index: Count
    """Which call it belongs to: 0, 1, 2, ..."""
    id: str = NOT_ALWAYS
    """To be repeated in the message with the output."""
    type: Literal["function"] = NOT_ALWAYS
    """Always `function`."""
    function: CalledWithMore
    """What is called."""


class ChunkDelta(AnswerModel):
    """What is added to the message: one of these, or nothing in the last chunk."""

    role: Literal["assistant"] = NOT_ALWAYS
    """In the first chunk, with an empty content."""
    content: str = NOT_ALWAYS
    """The answer, or what is said before a call, goes on."""
    reasoning_content: str = NOT_ALWAYS
    """The reasoning goes on. Not a key of OpenAI's."""
    reasoning: str = NOT_ALWAYS
    """The same as `reasoning_content`."""
    tool_calls: Annotated[list[ToolCallDelta], Field(min_length=1, max_length=1)] = NOT_ALWAYS
    """A call begins, or its arguments go on."""


class ChunkChoice(AnswerModel):
    """What this chunk tells of the answer."""

    index: Literal[0]
    """Always 0."""
    delta: ChunkDelta
    """What is added to the message."""
    logprobs: ChatLogprobs | None
    """How likely the tokens of this content are; null unless asked for."""
    finish_reason: FinishReason | None
    """Why the answer has ended; null before the last chunk."""


class ChatCompletionChunk(AnswerModel):
    """The completion goes on."""

    id: str
    """That of the completion, on every chunk."""
    object: Literal["chat.completion.chunk"]
    """Always `chat.completion.chunk`."""
    created: int
    """Unix time in seconds; the same on every chunk."""
    model: str
    """The model that answers, by its own name."""
    service_tier: Literal["priority", "default", "flex"]
    """As what the request was served."""
    system_fingerprint: None
    """Always null."""
    choices: Annotated[list[ChunkChoice], Field(max_length=1)]
    """What is added to the answer; empty in the chunk with the usage."""
    usage: CompletionUsage | None = None
    """Only there with `stream_options.include_usage`; null up to the last chunk."""


class ChatCompletionFailure(AnswerModel):
    """The completion has failed, and no chunk follows."""

    error: ErrorFields
    """What went wrong, as the body of an HTTP error has it."""
