"""POST /v1/chat/completions, described. The examples are answered by the code that answers chats."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.chat.chunks import ChunkEncoder
from gateway.chat.completion import completion_of
from gateway.chat.translation import Chat, ChatWords, chat_of
from gateway.openapi.chat_answers import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionFailure,
)
from gateway.openapi.chat_request import CreateChatCompletion
from gateway.openapi.example_answers import MODEL, a_call, an_answer, answered, response_of
from gateway.openapi.operation import EventStream, Example, Json, Operation, RequestBody
from gateway.responses import sse
from gateway.responses.error_table import Occasion

_WEATHER: Json = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}

REQUESTS: dict[str, Json] = {
    "plain": {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Why is the sky blue?"}],
    },
    "conversation": {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "Answer in one sentence."},
            {"role": "user", "content": "Who wrote Faust?"},
            {"role": "assistant", "content": "Johann Wolfgang von Goethe."},
            {"role": "user", "content": "When did he live?"},
        ],
        "max_completion_tokens": 2000,
        "temperature": 0.2,
        "reasoning_effort": "low",
    },
    "stream": {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Why is the sky blue?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    },
    "schema": {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Which city has the Eiffel Tower?"}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "city",
                "schema": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}},
                    "required": ["name"],
                    "additionalProperties": False,
                },
                "strict": True,
            },
        },
    },
    "tools": {
        "model": MODEL,
        "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
        "tools": [_WEATHER],
        "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
    },
    "tool_output": {
        "model": MODEL,
        "messages": [
            {"role": "user", "content": "What is the weather in Paris?"},
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "I need the weather.",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "18 degrees, sunny"},
        ],
        "tools": [_WEATHER],
    },
}

_SUMMARIES = {
    "plain": "A question",
    "conversation": "A conversation, with options",
    "stream": "A streamed answer, and what it has used",
    "schema": "An answer that matches a schema",
    "tools": "A function that the model must call",
    "tool_output": "What the function has returned",
}


def _chat(name: str) -> Chat:
    return chat_of(REQUESTS[name])


def _answer_examples() -> Mapping[str, Example]:
    answer = response_of(answered(_chat("plain").request, an_answer()))
    call = response_of(answered(_chat("tools").request, a_call()))
    return {
        "plain": Example("An answer", completion_of(answer)),
        "tools": Example("A call of a function", completion_of(call)),
    }


def _stream() -> EventStream:
    chat = _chat("stream")
    encoder = ChunkEncoder(chat.words, include_usage=chat.include_usage)
    sent = b"".join(encoder.encode(event) for event in answered(chat.request, an_answer()))
    return EventStream(
        description=(
            "With `stream: true`: server-sent events without a name, each a line `data:` with"
            " this JSON; the stream ends with `data: [DONE]`. A failure is an error in place of"
            " the chunks that are missing. Lines that begin with a colon keep the connection"
            " alive and mean nothing."
        ),
        name="ChatCompletionStreamEvent",
        events=(ChatCompletionChunk, ChatCompletionFailure),
        example=Example("A streamed answer", (sent + sse.DONE).decode()),
    )


CREATE_CHAT_COMPLETION = Operation(
    id="createChatCompletion",
    tag="Chat Completions",
    method="POST",
    path="/v1/chat/completions",
    summary="Create a chat completion",
    description=(
        "Ask the model for the next message of a chat: the same model, quotas and answers as"
        " those of a response, in the words of the older API. Nothing is stored: each request"
        " carries the whole chat."
    ),
    request=RequestBody(
        CreateChatCompletion,
        {name: Example(_SUMMARIES[name], request) for name, request in REQUESTS.items()},
    ),
    answer=ChatCompletion,
    answer_examples=_answer_examples,
    stream=_stream,
    occasions=frozenset({Occasion.ANY, Occasion.MODEL, Occasion.BODY, Occasion.GENERATION}),
    told=ChatWords("max_completion_tokens").told,
)
