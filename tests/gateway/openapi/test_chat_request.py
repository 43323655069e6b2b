"""What is described as the body of a chat is what chats are validated by."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway.chat.request import SHARED_FIELDS, ChatRequest
from gateway.chat.translation import chat_of
from gateway.openapi.chat_request import CreateChatCompletion
from gateway.openapi.schemas import schemas_of
from gateway.responses.errors import ApiError

SCHEMAS = schemas_of([CreateChatCompletion])
VALIDATOR = Draft202012Validator(
    {"$ref": "#/components/schemas/CreateChatCompletion", "components": {"schemas": SCHEMAS}}
)
TOOL = {"type": "function", "function": {"name": "f"}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
OUTPUT = {"role": "tool", "tool_call_id": "call_1", "content": "1"}
USER = {"role": "user", "content": "hi"}


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "gpt-oss-120b", "messages": [USER], **fields}


def test_every_field_is_described_once() -> None:
    assert set(CreateChatCompletion.model_fields) == {*ChatRequest.model_fields, *SHARED_FIELDS}


@pytest.mark.parametrize(
    "request_",
    [
        body(**dict.fromkeys(set(CreateChatCompletion.model_fields) - {"model", "messages"})),
        body(messages=[USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}, OUTPUT]),
        body(messages=[{"role": "developer", "content": [{"type": "text", "text": "hi"}]}, USER]),
        body(tools=[TOOL], tool_choice=TOOL),
        body(
            tools=[TOOL],
            tool_choice={
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [TOOL]},
            },
        ),
        body(
            response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
            reasoning_effort="minimal",
            verbosity="low",
        ),
        body(response_format={"type": "json_object"}, n=1, modalities=["text"]),
        body(stream=True, stream_options={"include_usage": True}),
        body(logprobs=True, top_logprobs=20, max_tokens=1, seed=-1, unknown_field=1),
    ],
)
def test_what_is_accepted_matches(request_: dict[str, Any]) -> None:
    chat_of(request_)
    VALIDATOR.validate(request_)


@pytest.mark.parametrize(
    "request_",
    [
        {"model": "gpt-oss-120b"},
        {"messages": [USER]},
        body(messages=[]),
        body(messages=[{"role": "function", "name": "f", "content": "1"}]),
        body(messages=[{"role": "user", "content": [{"type": "image_url"}]}]),
        body(tools=[{"type": "web_search"}]),
        body(tool_choice={"type": "custom"}),
        body(response_format={"type": "grammar"}),
        body(response_format={"type": "json_schema", "json_schema": {"schema": {}}}),
        body(reasoning_effort="much"),
        body(verbosity="much"),
        body(temperature=2.1),
        body(max_tokens=0),
        body(n=2),
        body(modalities=["audio"]),
        body(moderation={}),
        *(
            body(**{field: ["x"]})
            for field in ("stop", "logit_bias", "audio", "web_search_options", "functions")
        ),
        body(function_call="auto"),
    ],
)
def test_what_is_refused_does_not_match(request_: dict[str, Any]) -> None:
    with pytest.raises(ApiError):
        chat_of(request_)
    assert not VALIDATOR.is_valid(request_)
