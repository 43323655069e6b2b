"""POST /v1/responses, described. The examples are answered by the code that answers requests."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.openapi import answers
from gateway.openapi.event_models import event_models
from gateway.openapi.example_answers import (
    MODEL,
    RESPONSE_ID,
    a_call,
    an_answer,
    answered,
    response_of,
)
from gateway.openapi.operation import EventStream, Example, Json, Operation, RequestBody
from gateway.responses import sse
from gateway.responses.dialect import OPEN_RESPONSES_HEADER, Dialect
from gateway.responses.error_table import Occasion
from gateway.responses.request import CreateResponse
from gateway.responses.validation import validated

_WEATHER: Json = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}

REQUESTS: dict[str, Json] = {
    "plain": {"model": MODEL, "input": "Why is the sky blue?"},
    "conversation": {
        "model": MODEL,
        "instructions": "Answer in one sentence.",
        "input": [
            {"role": "user", "content": "Who wrote Faust?"},
            {"role": "assistant", "content": "Johann Wolfgang von Goethe."},
            {"role": "user", "content": "When did he live?"},
        ],
        "max_output_tokens": 2000,
        "temperature": 0.2,
        "reasoning": {"effort": "low"},
        "metadata": {"ticket": "42"},
    },
    "stream": {"model": MODEL, "input": "Why is the sky blue?", "stream": True},
    "tools": {
        "model": MODEL,
        "input": "What is the weather in Paris?",
        "tools": [_WEATHER],
    },
    "tool_output": {
        "model": MODEL,
        "input": [
            {"role": "user", "content": "What is the weather in Paris?"},
            {
                "type": "function_call",
                "call_id": "call_1",
                "name": "get_weather",
                "arguments": '{"city": "Paris"}',
            },
            {"type": "function_call_output", "call_id": "call_1", "output": "18 degrees, sunny"},
        ],
        "tools": [_WEATHER],
    },
}

_SUMMARIES = {
    "plain": "A question",
    "conversation": "A conversation, with options",
    "stream": "A streamed answer",
    "tools": "A function that the model may call",
    "tool_output": "What the function has returned",
}


def _answer_examples() -> Mapping[str, Example]:
    return {
        "plain": Example("An answer", response_of(answered(_request("plain"), an_answer()))),
        "tools": Example(
            "A call of a function", response_of(answered(_request("tools"), a_call()))
        ),
    }


def _stream() -> EventStream:
    encoder = sse.EventEncoder(RESPONSE_ID, MODEL, Dialect())
    sent = b"".join(encoder.encode(event) for event in answered(_request("stream"), an_answer()))
    return EventStream(
        description=(
            "With `stream: true`: server-sent events. Each has its type on a line `event:` and"
            " this JSON on a line `data:`; the stream ends with `data: [DONE]`. Lines that begin"
            " with a colon keep the connection alive and mean nothing."
        ),
        name="ResponseStreamEvent",
        events=event_models(),
        example=Example("A streamed answer", (sent + sse.DONE).decode()),
    )


def _request(name: str) -> CreateResponse:
    return validated(CreateResponse, REQUESTS[name])


CREATE_RESPONSE = Operation(
    id="createResponse",
    tag="Responses",
    method="POST",
    path="/v1/responses",
    summary="Create a response",
    description=(
        "Ask the model for a response to a conversation. Nothing is stored: each request carries"
        " all that the model should know."
    ),
    request=RequestBody(
        CreateResponse,
        {name: Example(_SUMMARIES[name], request) for name, request in REQUESTS.items()},
    ),
    header_parameters={
        OPEN_RESPONSES_HEADER: (
            "Any value asks for the dialect of Open Responses: `object` is `response`, and"
            " reasoning streams as `response.reasoning.*`."
        )
    },
    answer=answers.Response,
    answer_examples=_answer_examples,
    answer_headers=(OPEN_RESPONSES_HEADER,),
    stream=_stream,
    occasions=frozenset(
        {Occasion.ANY, Occasion.MODEL, Occasion.BODY, Occasion.ITEMS, Occasion.GENERATION}
    ),
)
