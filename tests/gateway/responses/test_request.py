"""What a tenant may send, and what it is told when it sends something else."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.harmony.conversation import Effort
from gateway.responses.errors import ApiError
from gateway.responses.items import MessageItem
from gateway.responses.json_body import parse_json_object
from gateway.responses.request import CreateResponse
from gateway.responses.unserved import refuse_what_is_not_served
from gateway.responses.validation import validated

MINIMAL = {"model": "gpt-oss-120b", "input": "hi"}
WEATHER = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}


def request(**fields: Any) -> CreateResponse:
    return validated(CreateResponse, {**MINIMAL, **fields})


def refusal(**fields: Any) -> tuple[int, str | None, str | None]:
    """(status, code, param) of the error that *fields* are answered with."""
    with pytest.raises(ApiError) as raised:
        request(**fields)
    return raised.value.status, raised.value.code, raised.value.param


def test_two_fields_are_enough_and_the_rest_have_defaults() -> None:
    assert validated(CreateResponse, MINIMAL).model_dump(exclude_defaults=True) == MINIMAL
    plain = request()
    assert (plain.temperature, plain.top_p, plain.stream) == (1.0, 1.0, False)
    assert plain.reasoning.effective_effort is Effort.MEDIUM


def test_a_null_is_an_absent_field_everywhere() -> None:
    nulls = dict.fromkeys(set(CreateResponse.model_fields) - set(MINIMAL))
    assert request(**nulls) == request()
    assert request(reasoning={"effort": None}, text={"format": None}) == request()
    assert request(
        input=[{"type": None, "role": "user", "content": "hi", "status": None}]
    ).input == [MessageItem(role="user", content="hi")]


def test_unknown_fields_are_ignored() -> None:
    assert (
        request(client_metadata={"a": 1}, stream_options={"include_obfuscation": True}) == request()
    )


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"model": None}, "missing_required_parameter", "model"),
        ({"input": None}, "missing_required_parameter", "input"),
        ({"model": 7}, "invalid_type", "model"),
        ({"input": 7}, "invalid_type", "input"),
        ({"input": []}, "empty_array", "input"),
        ({"input": [7]}, "invalid_type", "input[0]"),
        ({"input": [{"role": "user"}]}, "missing_required_parameter", "input[0].content"),
        ({"input": [{"role": "robot", "content": ""}]}, "invalid_value", "input[0].role"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_text"}]}]},
            "missing_required_parameter",
            "input[0].content[0].text",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
            "unsupported_content_type",
            "input[0].content[0]",
        ),
        ({"input": [{"type": "mcp_call"}]}, "unsupported_item", "input[0].type"),
        ({"input": [{"type": ["x"]}]}, "unsupported_item", "input[0].type"),
        ({"instructions": ["x"]}, "invalid_type", "instructions"),
        ({"max_output_tokens": 0}, "integer_below_min_value", "max_output_tokens"),
        ({"max_output_tokens": "5"}, "invalid_type", "max_output_tokens"),
        ({"max_output_tokens": 1.5}, "invalid_type", "max_output_tokens"),
        ({"max_output_tokens": True}, "invalid_type", "max_output_tokens"),
        ({"temperature": 2.1}, "decimal_above_max_value", "temperature"),
        ({"temperature": 3}, "decimal_above_max_value", "temperature"),
        ({"temperature": -0.1}, "decimal_below_min_value", "temperature"),
        ({"temperature": "hot"}, "invalid_type", "temperature"),
        ({"top_p": 0.0}, "decimal_below_min_value", "top_p"),
        ({"top_p": 1.1}, "decimal_above_max_value", "top_p"),
        ({"seed": 2**63}, "integer_above_max_value", "seed"),
        ({"presence_penalty": 2.5}, "decimal_above_max_value", "presence_penalty"),
        ({"top_logprobs": 21, "logprobs": True}, "integer_above_max_value", "top_logprobs"),
        ({"top_logprobs": 3}, "invalid_value", "top_logprobs"),
        ({"include": ["nonsense"]}, "invalid_value", "include[0]"),
        ({"reasoning": {"effort": "huge"}}, "invalid_value", "reasoning.effort"),
        ({"reasoning": "high"}, "invalid_type", "reasoning"),
        ({"text": {"format": {"type": "xml"}}}, "invalid_value", "text.format.type"),
        (
            {"text": {"format": {"type": "json_schema", "name": "n"}}},
            "missing_required_parameter",
            "text.format.schema",
        ),
        ({"tools": [WEATHER] * 129}, "array_above_max_length", "tools"),
        ({"tools": [WEATHER, WEATHER]}, "invalid_value", "tools[1].name"),
        ({"tools": [{"type": "web_search"}]}, "unsupported_tool", "tools[0].type"),
        ({"tools": [{"type": "function", "name": "a b"}]}, "invalid_value", "tools[0].name"),
        ({"tool_choice": "required"}, "invalid_value", "tool_choice"),
        ({"tool_choice": "perhaps"}, "invalid_value", "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "x"}}, "invalid_value", "tool_choice"),
        ({"tool_choice": {"type": "mcp"}}, "invalid_value", "tool_choice.type"),
        ({"truncation": "auto"}, "unsupported_value", "truncation"),
        ({"previous_response_id": "x"}, "previous_response_not_found", "previous_response_id"),
        ({"conversation": {"id": "x"}}, "unsupported_parameter", "conversation"),
        ({"prompt": {"id": "x"}}, "unsupported_parameter", "prompt"),
        ({"background": True}, "unsupported_parameter", "background"),
        ({"metadata": {str(n): "" for n in range(17)}}, "object_above_max_properties", "metadata"),
        ({"metadata": {"k" * 65: ""}}, "string_above_max_length", "metadata"),
        ({"metadata": {"k": "v" * 513}}, "string_above_max_length", "metadata"),
        ({"metadata": {"k": 1}}, "invalid_type", "metadata.k"),
        ({"service_tier": "gold"}, "invalid_value", "service_tier"),
        ({"stream": "yes"}, "invalid_type", "stream"),
    ],
)
def test_what_is_wrong_is_named_by_code_and_param(
    fields: dict[str, Any], code: str, param: str
) -> None:
    assert refusal(**fields) == (400, code, param)


def test_a_message_says_what_was_expected_and_what_came() -> None:
    with pytest.raises(ApiError) as raised:
        request(temperature="hot")
    assert raised.value.message == (
        "Invalid type for 'temperature': expected a number, but got a string instead."
    )


def test_tools_in_the_form_of_chat_completions_are_understood() -> None:
    nested = {
        "type": "function",
        "function": {"name": "get_weather", "parameters": {"type": "object"}},
    }
    assert request(tools=[nested]).tools == request(tools=[WEATHER]).tools


def test_an_array_of_strings_is_a_list_of_user_messages() -> None:
    assert request(input=["a", "b"]).input == [
        MessageItem(role="user", content="a"),
        MessageItem(role="user", content="b"),
    ]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"text": {"format": {"type": "json_object"}}}, "text.format.type"),
        ({"tools": [WEATHER], "tool_choice": "required"}, "tool_choice"),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "function", "name": "get_weather"}},
            "tool_choice",
        ),
        ({"logprobs": True}, "logprobs"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
    ],
)
def test_what_is_not_served_yet_is_refused_rather_than_ignored(
    fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(ApiError) as raised:
        refuse_what_is_not_served(request(**fields))
    assert (raised.value.status, raised.value.code, raised.value.param) == (
        400,
        "unsupported_value",
        param,
    )


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", "invalid_json", None),
        (b"{", "invalid_json", None),
        (b'{"a": NaN}', "invalid_json", None),
        (b"\xff", "invalid_json", None),
        (b"[" * 100_000, "invalid_json", None),
        (b'{"a":' * 100_000, "invalid_json", None),
        (b"[]", "invalid_type", None),
        (b'"text"', "invalid_type", None),
        (b'{"input": "\\ud800"}', "invalid_unicode", "input"),
        (b'{"input": [{"content": "a\\udfffb"}]}', "invalid_unicode", "input[0].content"),
    ],
)
def test_a_body_that_is_no_json_object_is_told_so(
    body: bytes, code: str, param: str | None
) -> None:
    with pytest.raises(ApiError) as raised:
        parse_json_object(body)
    assert (raised.value.status, raised.value.code, raised.value.param) == (400, code, param)
