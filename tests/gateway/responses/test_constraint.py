"""What a request makes the engine promise about its output."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.generation import Function, OutputConstraint
from gateway.harmony.parser import MessageStarted
from gateway.responses.constraint import SentSchema, output_constraint, schemas_to_compile
from gateway.responses.output_mapping import Kind, OutputMapping
from gateway.responses.request import CreateResponse
from gateway.responses.validation import validated

CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
CITY_JSON = '{"type":"object","properties":{"city":{"type":"string"}}}'
WEATHER = {"type": "function", "name": "weather", "parameters": CITY}
STRICT = {**WEATHER, "strict": True}
NOW = {"type": "function", "name": "now"}
JSON = {"format": {"type": "json_schema", "name": "answer", "schema": {"type": "array"}}}
ANY = {"format": {"type": "json_object"}}
NOW_CHOSEN = {"type": "function", "function": {"name": "now"}}


def allowed(mode: str, *names: str) -> dict[str, Any]:
    tools = [{"type": "function", "name": name} for name in names]
    return {"type": "allowed_tools", "mode": mode, "tools": tools}


def request(**fields: Any) -> CreateResponse:
    return validated(CreateResponse, {"model": "gpt-oss-120b", "input": "hi", **fields})


FREE_WEATHER, FREE_NOW = Function("weather", ""), Function("now", "")
TYPED_WEATHER = Function("weather", CITY_JSON)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"tools": [WEATHER, NOW]}, None),
        ({"tools": [WEATHER, NOW], "tool_choice": "none"}, None),
        ({"tools": [STRICT], "tool_choice": "none"}, None),
        ({"tools": [WEATHER], "tool_choice": allowed("auto", "weather")}, None),
        ({"text": ANY}, OutputConstraint((), False, '{"type":"object"}')),
        ({"text": JSON}, OutputConstraint((), False, '{"type":"array"}')),
        (
            {"text": JSON, "tools": [STRICT], "tool_choice": "none"},
            OutputConstraint((), False, '{"type":"array"}'),
        ),
        (
            {"text": JSON, "tools": [WEATHER, NOW]},
            OutputConstraint(
                (
                    FREE_WEATHER,
                    FREE_NOW,
                ),
                False,
                '{"type":"array"}',
            ),
        ),
        (
            {"tools": [STRICT, NOW]},
            OutputConstraint(
                (
                    TYPED_WEATHER,
                    FREE_NOW,
                )
            ),
        ),
        (
            {"tools": [{**NOW, "strict": True}]},
            OutputConstraint((FREE_NOW,)),
        ),
        (
            {"tools": [WEATHER, NOW], "tool_choice": "required"},
            OutputConstraint(
                (
                    TYPED_WEATHER,
                    FREE_NOW,
                ),
                call_required=True,
            ),
        ),
        (
            {"tools": [WEATHER, NOW], "tool_choice": "required", "text": JSON},
            OutputConstraint(
                (
                    TYPED_WEATHER,
                    FREE_NOW,
                ),
                call_required=True,
            ),
        ),
        (
            {"tools": [WEATHER, NOW], "tool_choice": NOW_CHOSEN},
            OutputConstraint((FREE_NOW,), call_required=True),
        ),
        (
            {"tools": [WEATHER, NOW], "tool_choice": allowed("auto", "weather", "weather")},
            OutputConstraint((FREE_WEATHER,)),
        ),
        (
            {"tools": [WEATHER, NOW], "tool_choice": allowed("required", "weather")},
            OutputConstraint((TYPED_WEATHER,), call_required=True),
        ),
        (
            {"tools": [{**STRICT, "parameters": {"properties": {}}}]},
            OutputConstraint((Function("weather", '{"type":"object","properties":{}}'),)),
        ),
    ],
)
def test_the_engine_is_told_what_tools_and_format_leave_open(
    fields: dict[str, Any], expected: OutputConstraint | None
) -> None:
    assert output_constraint(request(**fields)) == expected


def test_the_compiler_gets_the_tenants_own_schemas_with_their_places() -> None:
    asked = request(tools=[NOW, STRICT], text=JSON)
    constraint = output_constraint(asked)
    assert constraint is not None
    assert schemas_to_compile(asked, constraint) == [
        SentSchema("tools[1].parameters", CITY_JSON),
        SentSchema("text.format.schema", '{"type":"array"}'),
    ]
    whatever = request(text=ANY)
    constraint = output_constraint(whatever)
    assert constraint is not None
    assert schemas_to_compile(whatever, constraint) == []


@pytest.mark.parametrize(
    ("choice", "kinds"),
    [
        ("auto", [Kind.FUNCTION_CALL, Kind.FUNCTION_CALL]),
        ("none", [Kind.REASONING, Kind.REASONING]),
        (allowed("auto", "now"), [Kind.REASONING, Kind.FUNCTION_CALL]),
        (allowed("required", "weather"), [Kind.FUNCTION_CALL, Kind.REASONING]),
        (NOW_CHOSEN, [Kind.REASONING, Kind.FUNCTION_CALL]),
    ],
)
def test_a_call_of_a_function_that_is_not_allowed_does_not_reach_the_client(
    choice: object, kinds: list[Kind]
) -> None:
    mapping = OutputMapping.of(request(tools=[WEATHER, NOW], tool_choice=choice))
    calls = [MessageStarted("commentary", f"functions.{name}") for name in ("weather", "now")]
    assert [mapping.kind_of(call)[0] for call in calls] == kinds
