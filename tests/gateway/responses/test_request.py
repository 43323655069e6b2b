"""What a tenant may send, and what it is told when it sends something else."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from gateway.harmony.conversation import Effort
from gateway.responses.errors import ApiError
from gateway.responses.items import MessageItem
from gateway.responses.json_body import parse_json_object
from gateway.responses.prompt import to_conversation
from gateway.responses.request import CreateResponse
from gateway.responses.response import ResponseObject
from gateway.responses.validation import validated
from tests.cpu_time import best_cpu_s

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
    assert request(client_metadata={"a": 1}, prompt_cache_retention="24h") == request()


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
        ({"stream_options": "yes"}, "invalid_type", "stream_options"),
        (
            {"stream_options": {"include_obfuscation": 1}},
            "invalid_type",
            "stream_options.include_obfuscation",
        ),
        ({"text": {"verbosity": "loud"}}, "invalid_value", "text.verbosity"),
        ({"safety_identifier": "x" * 129}, "string_above_max_length", "safety_identifier"),
        ({"tools": [{"type": "function"}]}, "missing_required_parameter", "tools[0].name"),
        ({"tools": [{"type": "function", "name": "x" * 129}]}, "invalid_value", "tools[0].name"),
        ({"tools": [{"type": "function", "name": "x\r\n"}]}, "invalid_value", "tools[0].name"),
        ({"tools": [{"type": "function", "name": "x<|call|>"}]}, "invalid_value", "tools[0].name"),
        (
            {"tools": [{"type": "function", "name": "x", "parameters": []}]},
            "invalid_type",
            "tools[0].parameters",
        ),
        ({"tools": [{"type": "custom", "name": "x"}]}, "unsupported_tool", "tools[0].type"),
        ({"tools": [7]}, "invalid_type", "tools[0]"),
        ({"tools": {}}, "invalid_type", "tools"),
        (
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "auto",
                    "tools": [{"type": "function", "name": "x"}],
                }
            },
            "invalid_value",
            "tool_choice",
        ),
        (
            {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}},
            "empty_array",
            "tool_choice.tools",
        ),
        (
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "none",
                    "tools": [{"type": "function", "name": "x"}],
                }
            },
            "invalid_value",
            "tool_choice.mode",
        ),
        (
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "auto",
                    "tools": [{"type": "mcp", "name": "x"}],
                }
            },
            "invalid_value",
            "tool_choice.tools[0].type",
        ),
        ({"tool_choice": {"type": "function"}}, "missing_required_parameter", "tool_choice.name"),
        ({"tool_choice": {"type": "web_search"}}, "invalid_value", "tool_choice.type"),
        ({"tool_choice": 7}, "invalid_value", "tool_choice"),
        ({"max_output_tokens": 1e30}, "invalid_type", "max_output_tokens"),
        ({"seed": 10**30}, "integer_above_max_value", "seed"),
        ({"max_tool_calls": 0}, "integer_below_min_value", "max_tool_calls"),
        ({"include": "reasoning.encrypted_content"}, "invalid_type", "include"),
        (
            {
                "input": [
                    {"type": "function_call", "call_id": "c" * 65, "name": "f", "arguments": "{}"}
                ]
            },
            "string_above_max_length",
            "input[0].call_id",
        ),
        (
            {
                "input": [
                    {
                        "type": "function_call",
                        "call_id": "c",
                        "name": "f\n<|start|>",
                        "arguments": "{}",
                    }
                ]
            },
            "invalid_value",
            "input[0].name",
        ),
        (
            {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": {}}]},
            "invalid_type",
            "input[0].arguments",
        ),
        (
            {
                "input": [
                    {
                        "type": "function_call_output",
                        "call_id": "c",
                        "output": [{"type": "input_image"}],
                    }
                ]
            },
            "unsupported_content_type",
            "input[0].output[0]",
        ),
        (
            {"input": [{"type": "reasoning", "content": [{"type": "reasoning_text"}]}]},
            "missing_required_parameter",
            "input[0].content[0].text",
        ),
        (
            {"input": [{"type": "compaction", "encrypted_content": "x"}]},
            "unsupported_item",
            "input[0].type",
        ),
        ({"metadata": []}, "invalid_type", "metadata"),
        ({"background": "no"}, "invalid_type", "background"),
        ({"context_management": [{}]}, "unsupported_parameter", "context_management"),
        ({"moderation": {}}, "unsupported_parameter", "moderation"),
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


@pytest.mark.parametrize(
    "kind", ["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"]
)
def test_every_service_tier_is_the_default_one(kind: str) -> None:
    told = ResponseObject(request(service_tier=kind), response_id="r", created_at=0, model="m")
    assert told.in_progress()["service_tier"] == "default"


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "function", "name": "get_weather"},
        {"type": "function", "function": {"name": "get_weather"}},
    ],
)
def test_both_forms_of_a_named_function_are_repeated_as_openai_writes_them(choice: object) -> None:
    asked = request(tools=[WEATHER], tool_choice=choice)
    told = ResponseObject(asked, response_id="r", created_at=0, model="m").in_progress()
    assert told["tool_choice"] == {"type": "function", "name": "get_weather"}


@pytest.mark.parametrize(
    "body",
    [
        {"input": [{"role": "user", "content": "hi"}] * 10_000},
        {"input": [7] * 1_000_000},
        {"input": ["hi"] * 1_000_000},
        {"input": [{}] * 1_000_000},
        {"input": [{"role": "user", "content": [7] * 1_000_000}]},
        {"input": [{"role": "user", "content": [{"type": "text", "text": ""}] * 9}] * 9_999},
        {"input": [{"type": "reasoning", "content": [7] * 1_000_000}]},
        {"include": ["nonsense"] * 1_000_000},
        {"metadata": dict.fromkeys(map(str, range(500_000)), 7)},
        {"input": [{"type": "nonsense"}] * 10_000},
        {"input": [{"role": "user", "content": [{"type": "input_text"}]}] * 10_000},
        {"input": [{"type": "item_reference", "id": "rs_1"}] * 10_000},
        {"tools": [{"type": "nonsense"}] * 10_000},
        {"metadata": dict.fromkeys(map(str, range(10_000)), 7)},
        {"include": ["nonsense"] * 10_000},
    ],
    ids=[
        "fine",
        "numbers",
        "strings",
        "empty objects",
        "parts",
        "many parts",
        "reasoning",
        "many includes",
        "much metadata",
        "unknown items",
        "half parts",
        "references",
        "tools",
        "metadata",
        "include",
    ],
)
def test_ten_thousand_or_more_of_anything_are_looked_at_in_a_moment(body: dict[str, Any]) -> None:
    raw = json.dumps({**MINIMAL, **body}).encode()

    def look() -> None:
        try:
            to_conversation(validated(CreateResponse, parse_json_object(raw)), "2026-11-22", str)
        except ApiError as refused:
            assert refused.status in (400, 413)

    assert best_cpu_s(look) < 0.5  # 0.1 s without anybody else on the machine


def test_an_array_of_strings_is_a_list_of_user_messages() -> None:
    assert request(input=["a", "b"]).input == [
        MessageItem(role="user", content="a"),
        MessageItem(role="user", content="b"),
    ]


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", "invalid_json", None),
        (b"{", "invalid_json", None),
        (b'{"a": NaN}', "invalid_json", None),
        (b"\xff", "invalid_json", None),
        (b"[" * 100_000, "invalid_json", None),
        (b'{"a":' * 100_000, "invalid_json", None),
        (b'{"seed": 1e999}', "invalid_json", None),
        (b'{"a":' * 2000 + b"1" + b"}" * 2000, "invalid_json", None),
        (b"[]", "invalid_type", None),
        (b'"text"', "invalid_type", None),
        (b'{"input": "\\ud800"}', "invalid_unicode", "input"),
        (b'{"input": [{"content": "a\\udfffb"}]}', "invalid_unicode", "input[0].content"),
        (b'{"\\ud800": 1}', "invalid_unicode", None),
        (b'{"metadata": {"a\\ud800": "b"}}', "invalid_unicode", "metadata"),
        (b'{"metadata": {"a\\ud800": {"b": "\\ud800"}}}', "invalid_unicode", "metadata.a\ufffd.b"),
    ],
)
def test_a_body_that_is_no_json_object_is_told_so(
    body: bytes, code: str, param: str | None
) -> None:
    with pytest.raises(ApiError) as raised:
        parse_json_object(body)
    assert (raised.value.status, raised.value.code, raised.value.param) == (400, code, param)
    orjson.dumps(raised.value.body())  # it is text


@pytest.mark.parametrize(
    "junk",
    [b"0," * 4_000_000, b'"",' * 2_000_000, b"[" * 8_000_000, b'"\\\\",' * 1_000_000],
    ids=["numbers", "strings", "brackets", "escapes"],
)
def test_millions_of_values_are_refused_before_they_are_parsed(junk: bytes) -> None:
    body = b'{"input": [' + junk + b"0]}"

    def parse() -> None:
        with pytest.raises(ApiError) as raised:
            parse_json_object(body)
        assert (raised.value.status, raised.value.code) == (413, "request_too_large")

    assert best_cpu_s(parse) < 0.1


@pytest.mark.parametrize("text", [",[{" * 300_000, '\\", ' * 200_000, "x" + "\\" * 500_000])
def test_what_stands_in_a_string_is_not_counted(text: str) -> None:
    body = {"input": ["", "a", text, "b", text]}
    assert parse_json_object(json.dumps(body).encode()) == body


def test_a_key_of_megabytes_is_not_repeated() -> None:
    with pytest.raises(ApiError) as raised:
        request(metadata={"x" * 3_000_000: 1})
    assert len(orjson.dumps(raised.value.body())) < 1000


def test_an_input_of_the_wrong_type_is_told_both_of_the_right_ones() -> None:
    with pytest.raises(ApiError) as raised:
        request(input=7)
    assert raised.value.message == (
        "Invalid type for 'input': expected a string or an array, but got an integer instead."
    )
