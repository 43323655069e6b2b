"""From a chat to the request for a response that it is, and from its errors back.

Whatever is wrong with a request is told in the words of the API that was
asked, wherever it is found out: `to_chat_words` gives the fields the names
that chat completions have for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from gateway.chat.messages import AssistantMessage, Instruction, Message, ToolMessage, UserMessage
from gateway.chat.request import SHARED_FIELDS, ChatRequest, ResponseFormat
from gateway.responses.errors import ApiError
from gateway.responses.events import Json
from gateway.responses.items import text_of
from gateway.responses.request import CreateResponse
from gateway.responses.validation import validated


@dataclass(frozen=True, slots=True)
class Chat:
    """A valid chat: the same as a request for a response, and what only chats have."""

    request: CreateResponse
    include_usage: bool
    words: ChatWords


def chat_of(body: Mapping[str, object]) -> Chat:
    """Raises ApiError: 400 naming the first field that is wrong."""
    chat = validated(ChatRequest, body)
    words = ChatWords(
        "max_tokens" if chat.max_completion_tokens is None else "max_completion_tokens"
    )
    fields: Json = {name: body[name] for name in SHARED_FIELDS if name in body}
    fields |= {
        "input": [item for message in chat.messages for item in _items(message)],
        "max_output_tokens": chat.max_completion_tokens or chat.max_tokens,
        "reasoning": {"effort": chat.reasoning_effort},
        "text": {"format": _text_format(chat.response_format), "verbosity": chat.verbosity},
        "tool_choice": _tool_choice(chat.tool_choice),
    }
    try:
        request = validated(CreateResponse, fields)
    except ApiError as error:
        raise words.told(error) from error
    return Chat(request, chat.stream_options.include_usage, words)


def _items(message: Message) -> Iterator[Json]:
    match message:
        case UserMessage() | Instruction():
            yield _message(message.role, text_of(message.content))
        case AssistantMessage():
            yield from _assistant_items(message)
        case ToolMessage():
            yield {
                "type": "function_call_output",
                "call_id": message.tool_call_id,
                "output": text_of(message.content),
            }
        case _:
            assert_never(message)


def _assistant_items(message: AssistantMessage) -> Iterator[Json]:
    """In the order in which gpt-oss says them: it thinks, speaks, and calls last."""
    if reasoning := message.reasoning_content or message.reasoning:
        yield {"type": "reasoning", "content": [{"type": "reasoning_text", "text": reasoning}]}
    if text := text_of(message.content) or message.refusal:
        # Text beside a call is no answer, or its reasoning would be forgotten.
        phase = "commentary" if message.tool_calls else "final_answer"
        yield {**_message("assistant", text), "phase": phase}
    for call in message.tool_calls:
        yield {
            "type": "function_call",
            "call_id": call.id,
            "name": call.function.name,
            "arguments": call.function.arguments,
        }


def _message(role: str, text: str) -> Json:
    return {"type": "message", "role": role, "content": text}


def _text_format(format_: ResponseFormat | None) -> Json | None:
    if format_ is None:
        return None
    schema = format_.json_schema if format_.type == "json_schema" else {}
    return {**schema, "type": format_.type}


def _tool_choice(choice: Any) -> Any:
    """A named function is understood in both forms; allowed_tools are unwrapped here."""
    if isinstance(choice, dict) and isinstance(choice.get("allowed_tools"), dict):
        return {**choice["allowed_tools"], "type": choice.get("type")}
    return choice


# What a field of CreateResponse is called in a chat, where that is not the same.
_RENAMED = [
    (re.compile(pattern), name)
    for pattern, name in (
        (r"input.*", "messages"),
        (r"reasoning\.effort", "reasoning_effort"),
        (r"text\.verbosity", "verbosity"),
        (r"text\.format(\.type)?", r"response_format\1"),
        (r"text\.format\.(.+)", r"response_format.json_schema.\1"),
        (r"(tools\[\d+\])\.(?!type)(.+)", r"\1.function.\2"),
        (r"tool_choice\.name", "tool_choice.function.name"),
        (r"tool_choice\.((?:mode|tools).*)", r"tool_choice.allowed_tools.\1"),
    )
]


@dataclass(frozen=True, slots=True)
class ChatWords:
    """How one chat names what a response has."""

    max_output_tokens: str  # of its two names the one that was used

    def told(self, error: ApiError) -> ApiError:
        message, param = self.to_chat_words(error.message, error.param)
        return ApiError(
            error.status, error.type, error.code, message, param=param, headers=error.headers
        )

    def to_chat_words(self, message: str, param: str | None) -> tuple[str, str | None]:
        if param is None:
            return message, None
        name = self._name_of(param)
        return message.replace(f"'{param}'", f"'{name}'"), name

    def _name_of(self, param: str) -> str:
        if param == "max_output_tokens":
            return self.max_output_tokens
        for pattern, name in _RENAMED:
            if match := pattern.fullmatch(param):
                return match.expand(name)
        return param
