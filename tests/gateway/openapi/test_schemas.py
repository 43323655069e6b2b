"""What the schemas say that pydantic alone would not."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway.openapi.schemas import schemas_of
from gateway.responses.errors import ApiError
from gateway.responses.request import CreateResponse
from gateway.responses.validation import validated

SCHEMAS = schemas_of([CreateResponse])
VALIDATOR = Draft202012Validator(
    {"$ref": "#/components/schemas/CreateResponse", "components": {"schemas": SCHEMAS}}
)
TOOL = {"type": "function", "name": "f"}
CHAT_TOOL = {"type": "function", "function": {"name": "f"}}


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "gpt-oss-120b", "input": "hi", **fields}


@pytest.mark.parametrize(
    "request_",
    [
        body(**dict.fromkeys(set(CreateResponse.model_fields) - {"model", "input"})),
        body(input=["hi", {"role": "user", "content": "hi", "type": None}]),
        body(input=[{"id": "rs_1"}, {"type": "reasoning", "content": None}]),
        body(tools=[TOOL], tool_choice=TOOL),
        body(tools=[CHAT_TOOL], tool_choice=CHAT_TOOL),
        body(text={"format": {"type": "json_schema", "name": "n", "schema": {}}}),
        body(unknown_field=1),
    ],
)
def test_what_is_accepted_matches(request_: dict[str, Any]) -> None:
    validated(CreateResponse, request_)
    VALIDATOR.validate(request_)


@pytest.mark.parametrize(
    "request_",
    [
        {"model": "gpt-oss-120b", "input": None},
        body(input=[]),
        body(input=[{"type": "web_search_call"}]),
        body(input=[{"role": "user", "content": [{"type": "input_image"}]}]),
        body(tools=[{"type": "web_search"}]),
        body(tool_choice={"type": "web_search"}),
        body(temperature=2.1),
        body(top_p=0),
        body(previous_response_id="resp_1"),
        body(background=True),
        body(truncation="auto"),
    ],
)
def test_what_is_refused_does_not_match(request_: dict[str, Any]) -> None:
    with pytest.raises(ApiError):
        validated(CreateResponse, request_)
    assert not VALIDATOR.is_valid(request_)
