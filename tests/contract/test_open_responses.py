"""The Open Responses dialect: one header, and the same answer is spelled as that specification has it.

Its own compliance suite is on no registry. What it checks over HTTP with text is checked here, by
the same requests and against the rules of its schemas: which keys an answer must have and of which
types, which may be left out but never null, which events there are. Out of reach are what we do
not serve: images, compaction, and the WebSocket transport (docs/api.md).
"""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from tests.stack.demo import Tenant
from tests.stack.product import Product

VERSION = "2026-04-24"
Json = dict[str, Any]


def nullable(kind: str) -> Json:
    return {"type": [kind, "null"]}


def exactly(**properties: Json) -> Json:
    """An object with all of these."""
    return {"type": "object", "properties": properties, "required": list(properties)}


TEXT, WHOLE, NUMBER, FLAG = ({"type": t} for t in ("string", "integer", "number", "boolean"))
LIST = {"type": "array"}
STATUS = {"enum": ["in_progress", "completed", "incomplete"]}
OUTPUT_TEXT = exactly(type={"const": "output_text"}, text=TEXT, annotations=LIST, logprobs=LIST)
MESSAGE = {
    **exactly(
        type={"const": "message"},
        id=TEXT,
        status=STATUS,
        role={"const": "assistant"},
        content={"type": "array", "items": OUTPUT_TEXT},
    ),
}
MESSAGE["properties"] |= {"phase": {"enum": ["commentary", "final_answer"]}}
REASONING = exactly(
    type={"const": "reasoning"},
    id=TEXT,
    summary=LIST,
    content={"type": "array", "items": exactly(type={"const": "reasoning_text"}, text=TEXT)},
)
# Left out, never null.
REASONING["properties"] |= {"encrypted_content": TEXT}
FUNCTION_CALL = exactly(
    type={"const": "function_call"},
    id=TEXT,
    call_id=TEXT,
    name=TEXT,
    arguments=TEXT,
    status=STATUS,
)
ITEM = {"oneOf": [MESSAGE, REASONING, FUNCTION_CALL]}
USAGE = exactly(
    input_tokens=WHOLE,
    output_tokens=WHOLE,
    total_tokens=WHOLE,
    input_tokens_details=exactly(cached_tokens=WHOLE),
    output_tokens_details=exactly(reasoning_tokens=WHOLE),
)
RESPONSE = exactly(
    id=TEXT,
    object={"const": "response"},
    created_at=WHOLE,
    completed_at=nullable("integer"),
    status=TEXT,
    incomplete_details=nullable("object"),
    model=TEXT,
    previous_response_id=nullable("string"),
    instructions=nullable("string"),
    output={"type": "array", "items": ITEM},
    error=nullable("object"),
    tools={
        "type": "array",
        "items": exactly(
            type={"const": "function"},
            name=TEXT,
            description=nullable("string"),
            parameters=nullable("object"),
            strict=nullable("boolean"),
        ),
    },
    tool_choice={
        "oneOf": [{"enum": ["none", "auto", "required"]}, exactly(type=TEXT)],
    },
    truncation={"enum": ["auto", "disabled"]},
    parallel_tool_calls=FLAG,
    text=exactly(format=exactly(type=TEXT)),
    top_p=NUMBER,
    presence_penalty=NUMBER,
    frequency_penalty=NUMBER,
    top_logprobs=WHOLE,
    temperature=NUMBER,
    reasoning=exactly(
        effort={"enum": ["none", "low", "medium", "high", "xhigh", None]},
        summary={"enum": ["auto", "concise", "detailed", None]},
    ),
    user=nullable("string"),
    usage={"anyOf": [USAGE, {"type": "null"}]},
    max_output_tokens=nullable("integer"),
    max_tool_calls=nullable("integer"),
    store=FLAG,
    background=FLAG,
    service_tier=TEXT,
    metadata={"type": "object"},
    safety_identifier=nullable("string"),
    prompt_cache_key=nullable("string"),
)
OF_ITEM = {"item_id": TEXT, "output_index": WHOLE}
OF_PART = {**OF_ITEM, "content_index": WHOLE}
EVENTS: dict[str, Json] = {
    "response.created": {"response": RESPONSE},
    "response.in_progress": {"response": RESPONSE},
    "response.completed": {"response": RESPONSE},
    "response.incomplete": {"response": RESPONSE},
    "response.failed": {"response": RESPONSE},
    "response.output_item.added": {"output_index": WHOLE, "item": ITEM},
    "response.output_item.done": {"output_index": WHOLE, "item": ITEM},
    "response.content_part.added": {**OF_PART, "part": {"type": "object"}},
    "response.content_part.done": {**OF_PART, "part": {"type": "object"}},
    "response.output_text.delta": {**OF_PART, "delta": TEXT, "logprobs": LIST},
    "response.output_text.done": {**OF_PART, "text": TEXT, "logprobs": LIST},
    "response.reasoning.delta": {**OF_PART, "delta": TEXT},
    "response.reasoning.done": {**OF_PART, "text": TEXT},
    "response.function_call_arguments.delta": {**OF_ITEM, "delta": TEXT},
    "response.function_call_arguments.done": {**OF_ITEM, "arguments": TEXT},
    "error": {"error": exactly(type=TEXT, message=TEXT, code=nullable("string"))},
}

USER = {"type": "message", "role": "user", "content": "Say hello in exactly 3 words."}
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather for a location",
    "parameters": {
        "type": "object",
        "properties": {"location": {"type": "string", "description": "City and state"}},
        "required": ["location"],
    },
}
REQUESTS: dict[str, Json] = {
    "basic response": {"input": [USER]},
    "system prompt": {
        "input": [{"type": "message", "role": "system", "content": "You are a pirate."}, USER]
    },
    "tool calling": {"input": [USER], "tools": [WEATHER]},
    "multi turn": {
        "input": [
            {"type": "message", "role": "user", "content": "My name is Alice."},
            {"type": "message", "role": "assistant", "content": "Hello Alice!"},
            {"type": "message", "role": "user", "content": "What is my name?"},
        ]
    },
    "structured output": {
        "input": [USER],
        "text": {
            "format": {
                "type": "json_schema",
                "name": "greeting",
                "schema": {"type": "object", "properties": {"words": {"type": "string"}}},
            }
        },
    },
    "encrypted reasoning": {"input": [USER], "include": ["reasoning.encrypted_content"]},
    "cut": {"input": [USER], "max_output_tokens": 16},
    "every effort": {"input": [USER], "reasoning": {"effort": "minimal", "summary": "auto"}},
}


@pytest.fixture(scope="module")
def tenant(product: Product) -> Tenant:
    return product.new_project()


def answer(product: Product, tenant: Tenant, *, stream: bool, **fields: Any) -> httpx.Response:
    answered = httpx.post(
        f"{product.url}/v1/responses",
        headers={"authorization": f"Bearer {tenant.key}", "OpenResponses-Version": VERSION},
        json={"model": "gpt-oss-120b", "stream": stream, **fields},
        timeout=30,
    )
    assert answered.status_code == 200, answered.text
    return answered


def complaints(schema: Json, value: object) -> list[str]:
    return [error.message for error in Draft202012Validator(schema).iter_errors(value)]


@pytest.mark.parametrize("fields", REQUESTS.values(), ids=REQUESTS)
def test_an_answer_is_a_response_as_that_specification_has_it(
    product: Product, tenant: Tenant, fields: Json
) -> None:
    response = answer(product, tenant, stream=False, **fields).json()
    assert complaints(RESPONSE, response) == []
    assert response["output"]
    if "max_output_tokens" in fields:
        assert response["status"] == "incomplete"
        assert [item.get("status") for item in response["output"]][-1] == "incomplete"
    else:
        assert response["status"] == "completed"
    if "tools" in fields:
        assert "function_call" in {item["type"] for item in response["output"]}


@pytest.mark.parametrize("fields", REQUESTS.values(), ids=REQUESTS)
def test_a_stream_is_made_of_its_events_alone_and_numbered(
    product: Product, tenant: Tenant, fields: Json
) -> None:
    streamed = answer(product, tenant, stream=True, **fields)
    blocks = [block for block in streamed.text.split("\n\n") if block]
    assert blocks.pop() == "data: [DONE]"
    events = []
    for block in blocks:
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    wrong = [
        (event["type"], complaints(exactly(**EVENTS[event["type"]]), event)) for event in events
    ]
    assert [each for each in wrong if each[1]] == []
    assert events[-1]["type"] in ("response.completed", "response.incomplete")


def test_the_header_comes_back(product: Product, tenant: Tenant) -> None:
    for stream in (False, True):
        answered = answer(product, tenant, stream=stream, input="hi")
        assert answered.headers["openresponses-version"] == VERSION


def test_raw_reasoning_has_that_dialects_names(product: Product, tenant: Tenant) -> None:
    streamed = answer(product, tenant, stream=True, input="hi").text
    assert "event: response.reasoning.delta\n" in streamed
    assert "event: response.reasoning.done\n" in streamed
    assert "event: response.reasoning_text" not in streamed
