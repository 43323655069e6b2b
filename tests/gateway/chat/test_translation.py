"""What a chat asks for, in the words of a response; and its errors, in the words of a chat."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.chat.translation import Chat, chat_of
from gateway.harmony.conversation import (
    AssistantMessage,
    DeveloperMessage,
    Effort,
    Reasoning,
    ToolCall,
    ToolOutput,
    UserMessage,
)
from gateway.responses import errors
from gateway.responses.errors import ApiError
from gateway.responses.prompt import to_conversation
from gateway.responses.request import CreateResponse
from gateway.responses.tools import AllowedTools, NamedFunction
from gateway.responses.validation import validated

USER: dict[str, Any] = {"role": "user", "content": "hi"}
MINIMAL: dict[str, Any] = {"model": "gpt-oss-120b", "messages": [USER]}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {}}}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": "{}"},
}
SCHEMA = {"name": "city", "schema": {"type": "object"}, "strict": True}


def chat(**fields: Any) -> Chat:
    return chat_of({**MINIMAL, **fields})


def refusal(**fields: Any) -> tuple[int, str | None, str | None]:
    """(status, code, param) of the error that *fields* are answered with."""
    with pytest.raises(ApiError) as raised:
        chat(**fields)
    return raised.value.status, raised.value.code, raised.value.param


def turns(*messages: dict[str, Any]) -> list[Any]:
    """What harmony is to render of *messages*."""

    def nothing_is_sealed(blob: str) -> str:
        raise AssertionError(blob)

    return list(
        to_conversation(
            chat(messages=list(messages)).request, "2026-11-22", nothing_is_sealed
        ).turns
    )


def test_a_chat_is_a_request_for_a_response() -> None:
    asked = chat(
        messages=[{"role": "system", "content": "Be brief."}, USER],
        max_completion_tokens=7,
        temperature=0.5,
        top_p=0.9,
        seed=3,
        presence_penalty=1,
        frequency_penalty=-1,
        reasoning_effort="high",
        verbosity="low",
        response_format={"type": "json_schema", "json_schema": SCHEMA},
        logprobs=True,
        top_logprobs=2,
        tools=[WEATHER],
        tool_choice="required",
        metadata={"ticket": "42"},
        user="u",
        stream=True,
        stream_options={"include_usage": True},
    )

    assert asked.request == validated(
        CreateResponse,
        {
            "model": "gpt-oss-120b",
            "input": [
                {"type": "message", "role": "system", "content": "Be brief."},
                {"type": "message", "role": "user", "content": "hi"},
            ],
            "max_output_tokens": 7,
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 3,
            "presence_penalty": 1,
            "frequency_penalty": -1,
            "reasoning": {"effort": "high"},
            "text": {"format": {"type": "json_schema", **SCHEMA}, "verbosity": "low"},
            "logprobs": True,
            "top_logprobs": 2,
            "tools": [{"type": "function", "name": "get_weather", "parameters": {}}],
            "tool_choice": "required",
            "metadata": {"ticket": "42"},
            "user": "u",
            "stream": True,
        },
    )
    assert asked.include_usage


def test_two_fields_are_enough_and_the_rest_have_the_defaults_of_a_response() -> None:
    asked = chat()
    assert asked.request == validated(
        CreateResponse,
        {"model": "gpt-oss-120b", "input": [{"type": "message", **USER}]},
    )
    assert asked.request.reasoning.effective_effort is Effort.MEDIUM
    assert not asked.include_usage


def test_what_clients_send_without_meaning_it_is_ignored() -> None:
    nothing = {
        "n": 1,
        "stop": [],
        "logit_bias": {},
        "functions": [],
        "function_call": None,
        "audio": None,
        "modalities": ["text"],
        "stream_options": None,
        "response_format": None,
        "tool_choice": None,
        "max_tokens": None,
        "top_k": 40,
        "prediction": {"type": "content", "content": "x"},
    }
    assert chat(**nothing) == chat()


def test_the_new_name_of_the_token_limit_counts_and_the_used_one_is_told() -> None:
    assert chat(max_tokens=5).request.max_output_tokens == 5
    both = chat(max_tokens=5, max_completion_tokens=6)
    assert both.request.max_output_tokens == 6

    error = errors.invalid_request("'max_output_tokens' is.", code="c", param="max_output_tokens")
    assert chat(max_tokens=5).words.told(error).message == "'max_tokens' is."
    assert both.words.told(error).param == "max_completion_tokens"


def test_a_history_with_a_call_becomes_the_turns_that_harmony_knows() -> None:
    assert turns(
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Weather"}, {"type": "text", "text": "?"}],
        },
        {
            "role": "assistant",
            "content": "I look.",
            "refusal": None,
            "reasoning_content": "Need weather.",
            "tool_calls": [CALL],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "21 C"},
        {"role": "system", "content": "Now in French."},
    ) == [
        UserMessage("Weather?"),
        Reasoning("Need weather."),
        AssistantMessage("I look.", commentary=True),
        ToolCall("get_weather", "{}"),
        ToolOutput("get_weather", "21 C"),
        DeveloperMessage("Now in French."),
    ]


def test_reasoning_comes_back_under_either_of_its_names() -> None:
    answer = {"role": "assistant", "content": "Hi!", "reasoning": "b"}
    assert turns(USER, answer)[1:] == [Reasoning("b"), AssistantMessage("Hi!")]
    assert turns(USER, {**answer, "reasoning_content": "a"})[1] == Reasoning("a")


def test_a_message_that_says_nothing_is_left_out() -> None:
    nothing = {"role": "assistant", "content": None, "tool_calls": None, "function_call": None}
    assert turns(USER, nothing, USER) == [UserMessage("hi"), UserMessage("hi")]
    assert turns(USER, {**nothing, "refusal": "No."})[1:] == [AssistantMessage("No.")]


def test_a_tool_choice_is_understood_in_the_form_of_chats() -> None:
    named = {"type": "function", "function": {"name": "get_weather"}}
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named]}}

    choice = chat(tools=[WEATHER], tool_choice=named).request.tool_choice
    assert choice == NamedFunction(type="function", name="get_weather")
    choice = chat(tools=[WEATHER], tool_choice=allowed).request.tool_choice
    assert choice == AllowedTools(
        type="allowed_tools",
        mode="auto",
        tools=[NamedFunction(type="function", name="get_weather")],
    )


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"messages": None}, "missing_required_parameter", "messages"),
        ({"messages": []}, "empty_array", "messages"),
        ({"messages": "hi"}, "invalid_type", "messages"),
        ({"messages": [7]}, "invalid_type", "messages[0]"),
        ({"messages": [{}]}, "missing_required_parameter", "messages[0].role"),
        ({"messages": [{"role": "robot"}]}, "invalid_value", "messages[0].role"),
        ({"messages": [{"role": ["user"]}]}, "invalid_value", "messages[0].role"),
        ({"messages": [{"role": "function"}]}, "unsupported_value", "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "missing_required_parameter", "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            *("unsupported_content_type", "messages[0].content[0]"),
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file"}]}]},
            *("unsupported_content_type", "messages[0].content[0]"),
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": ["text"]}]}]},
            *("invalid_value", "messages[0].content[0].type"),
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]},
            *("missing_required_parameter", "messages[0].tool_calls[0].function"),
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{**CALL, "type": "custom"}]}]},
            *("invalid_value", "messages[0].tool_calls[0].type"),
        ),
        (
            {"messages": [USER, {"role": "tool", "tool_call_id": "x", "content": ""}]},
            *("invalid_value", "messages[1].tool_call_id"),
        ),
        ({"model": None}, "missing_required_parameter", "model"),
        ({"max_tokens": 0}, "integer_below_min_value", "max_tokens"),
        ({"max_completion_tokens": "5"}, "invalid_type", "max_completion_tokens"),
        ({"temperature": 2.1}, "decimal_above_max_value", "temperature"),
        ({"top_p": 0}, "decimal_below_min_value", "top_p"),
        ({"n": 2}, "unsupported_value", "n"),
        ({"n": 0}, "integer_below_min_value", "n"),
        ({"stop": "\n"}, "unsupported_parameter", "stop"),
        ({"stop": ["\n"]}, "unsupported_parameter", "stop"),
        ({"logit_bias": {"1": 1}}, "unsupported_parameter", "logit_bias"),
        ({"functions": [{"name": "f"}]}, "unsupported_parameter", "functions"),
        ({"function_call": "auto"}, "unsupported_parameter", "function_call"),
        ({"audio": {"voice": "x"}}, "unsupported_parameter", "audio"),
        ({"web_search_options": {"a": 1}}, "unsupported_parameter", "web_search_options"),
        ({"moderation": {"model": "m"}}, "unsupported_parameter", "moderation"),
        ({"modalities": ["audio"]}, "unsupported_value", "modalities"),
        ({"stream_options": True}, "invalid_type", "stream_options"),
        ({"stream": "yes"}, "invalid_type", "stream"),
        ({"reasoning_effort": "huge"}, "invalid_value", "reasoning_effort"),
        ({"reasoning_effort": 1}, "invalid_type", "reasoning_effort"),
        ({"verbosity": "huge"}, "invalid_value", "verbosity"),
        ({"top_logprobs": 3}, "invalid_value", "top_logprobs"),
        ({"response_format": {"type": "xml"}}, "invalid_value", "response_format.type"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
            *("missing_required_parameter", "response_format.json_schema.schema"),
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {**SCHEMA, "name": "a b"}}},
            *("invalid_value", "response_format.json_schema.name"),
        ),
        ({"tools": [{"type": "custom"}]}, "unsupported_tool", "tools[0].type"),
        (
            {"tools": [{"type": "function", "function": {}}]},
            *("missing_required_parameter", "tools[0].function.name"),
        ),
        ({"tools": [WEATHER, WEATHER]}, "invalid_value", "tools[1].function.name"),
        ({"tool_choice": "required"}, "invalid_value", "tool_choice"),
        ({"tool_choice": {"type": "custom"}}, "invalid_value", "tool_choice.type"),
        (
            {"tool_choice": {"type": "function"}},
            *("missing_required_parameter", "tool_choice.function.name"),
        ),
        (
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "no"}}},
            *("invalid_value", "tool_choice.allowed_tools.mode"),
        ),
        ({"metadata": {"k": 1}}, "invalid_type", "metadata.k"),
    ],
)
def test_what_is_wrong_is_named_as_the_chat_names_it(
    fields: dict[str, Any], code: str, param: str
) -> None:
    assert refusal(**fields) == (400, code, param)


def test_the_sentence_names_the_field_of_the_chat_too() -> None:
    with pytest.raises(ApiError) as raised:
        chat(response_format={"type": "json_schema"})
    assert raised.value.message == (
        "Missing required parameter: 'response_format.json_schema.name'."
    )


@pytest.mark.parametrize(
    ("param", "name"),
    [
        ("text.format.type", "response_format.type"),
        ("text.format.schema", "response_format.json_schema.schema"),
        ("tools[3].parameters", "tools[3].function.parameters"),
        ("tool_choice", "tool_choice"),
        ("logprobs", "logprobs"),
        ("input[2].content", "messages"),
    ],
)
def test_what_is_found_wrong_later_is_told_in_the_words_of_the_chat(param: str, name: str) -> None:
    error = errors.invalid_request(f"Invalid '{param}'.", code="invalid_value", param=param)
    told = chat().words.told(error)
    assert (told.message, told.param, told.code) == (f"Invalid '{name}'.", name, "invalid_value")


def test_an_error_without_a_field_and_one_of_the_input_are_told_as_well() -> None:
    words = chat().words
    overloaded = errors.overloaded(7)
    told = words.told(overloaded)
    assert (told.body(), told.headers) == (overloaded.body(), overloaded.headers)
    assert words.told(errors.context_length_exceeded("9", 8)).param == "messages"
