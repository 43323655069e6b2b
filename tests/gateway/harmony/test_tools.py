from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from gateway.harmony.conversation import Tool
from gateway.harmony.tools import MAX_TYPES_CHARACTERS, tools_text
from tests.gateway.harmony.reference import reference_tools_text
from tests.gateway.harmony.schemas import ANY_PARAMETERS, TEXT, TYPED_PARAMETERS, Json


def printed(parameters: Json) -> str:
    """The type of the argument of a function with these *parameters*."""
    text = tools_text([Tool("f", "", parameters)])
    start, end = "namespace functions {\n\ntype f = (", ") => any;\n\n} // namespace functions"
    assert text.startswith(f"# Tools\n\n## functions\n\n{start}") and text.endswith(end)
    return text[text.index(start) + len(start) : -len(end)].removeprefix("_: ")


def property_type(schema: object, **root: object) -> str:
    """How a required property `p` of this *schema* is printed."""
    parameters = {"type": "object", "properties": {"p": schema}, "required": ["p"], **root}
    return printed(parameters).removeprefix("{\n").removesuffix("\n}")


# What openai-harmony prints well


@given(parameters=TYPED_PARAMETERS, description=TEXT)
def test_tools_are_printed_as_openai_harmony_prints_them(
    oracle: Any, parameters: Json, description: str
) -> None:
    tools = [Tool("f", description, parameters), Tool("now", "What time\r\nit is.\n\n", None)]

    assert tools_text(tools) == reference_tools_text(oracle, tools)


def test_a_tool_reads_like_typescript() -> None:
    parameters = {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Where.", "examples": ["Paris"]},
            "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
            "days": {"title": "Days", "oneOf": [{"type": "integer"}, {"type": "null"}]},
        },
        "required": ["city"],
    }

    assert (
        tools_text([Tool("get_weather", "Weather.\nSecond line.", parameters)])
        == """\
# Tools

## functions

namespace functions {

// Weather.
// Second line.
type get_weather = (_: {
// Where.
// Examples:
// - "Paris"
city: string,
unit?: "C" | "F", // default: C
// Days
//
days?:
 | number
 | null
,
}) => any;

} // namespace functions"""
    )


# What it prints as any


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "null"}, "p: null,"),
        ({"enum": ["x", 'a"b', 1, None, True]}, r'p: "x" | "a\"b" | 1 | null | true,'),
        ({"type": "integer", "enum": [1, 2]}, "p: 1 | 2,"),
        ({"type": ["string", "null"], "enum": ["x", None]}, 'p: "x" | null,'),
        ({"const": "x"}, 'p: "x",'),
        ({"const": None}, "p: null,"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "p:\n | string\n | null\n,"),
        ({"properties": {"q": {"type": "number"}}}, "p: {\n    q?: number,\n    },"),
        ({"items": {"type": "string"}}, "p: string[],"),
        ({"type": ["array", "null"], "items": {"type": "string"}}, "p: string[] | null,"),
        ({"type": ["object", "null"]}, "p: object | null,"),
        (
            {"type": ["object", "null"], "properties": {"q": {"type": "number"}}},
            "p: {\n    q?: number,\n    } | null,",
        ),
        (
            {"allOf": [{"properties": {"q": {}}}, {"properties": {"r": {}}, "required": ["q"]}]},
            "p: {\n    q: any,\n    r?: any,\n    },",
        ),
        (
            {
                "properties": {"q": {}, "r": {}},
                "anyOf": [{"required": ["q"]}, {"required": ["r"]}],
            },
            "p: {\n    q?: any,\n    r?: any,\n    },",
        ),
    ],
)
def test_what_openai_harmony_prints_as_any_has_its_type(schema: Json, text: str) -> None:
    assert property_type(schema) == text


@pytest.mark.parametrize("ref", ["#/$defs/A", "#/$defs/a~1b", "#/$defs/%C3%A4%25", "#/$defs/L/1"])
def test_a_reference_is_printed_as_what_it_refers_to(ref: str) -> None:
    target = {"type": "number", "description": "Its own.", "default": 1}
    definitions = {"A": target, "a/b": target, "ä%": target, "L": [True, target]}

    assert (
        property_type({"$ref": ref, "description": "Here."}, **{"$defs": definitions})
        == "// Here.\np: number, // default: 1"
    )


def test_the_parameters_themselves_may_be_a_reference() -> None:
    definitions = {"A": {"type": "object", "properties": {"q": {"type": "number"}}}}

    assert printed({"$ref": "#/$defs/A", "$defs": definitions}) == "{\nq?: number,\n}"


def test_a_reference_to_nothing_is_any() -> None:
    for ref in ["#/$defs/B", "https://example.com/schema", "", "#a", "#/$defs/A/x", 7, None]:
        assert property_type({"$ref": ref}, **{"$defs": {"A": []}}) == "p: any,"


def test_a_type_that_holds_itself_is_printed_once() -> None:
    node = {"properties": {"next": {"$ref": "#/$defs/Node"}, "v": {"type": "string"}}}

    assert (
        property_type({"$ref": "#/$defs/Node"}, **{"$defs": {"Node": node}})
        == "p: {\n    next?: any,\n    v?: string,\n    },"
    )


def test_a_function_that_takes_nothing_has_no_argument() -> None:
    nothing: list[Json | None] = [
        None,
        {},
        {"type": "object"},
        {"properties": []},
        {"type": "null"},
    ]
    for parameters in nothing:
        text = tools_text([Tool("now", "", parameters)])

        assert "type now = () => any;\n" in text


def test_a_name_cannot_leave_its_place() -> None:
    assert "type f______any___x = () => any;" in tools_text([Tool("f = () any;\n x", "", None)])


# What a tenant may send nevertheless


@given(parameters=ANY_PARAMETERS)
def test_any_json_at_all_is_printed(parameters: Json) -> None:
    assert tools_text([Tool("f", "", parameters)])


@pytest.mark.parametrize("keyword", ["properties", "items", "anyOf", "allOf", "default", "enum"])
def test_a_schema_nested_a_hundred_thousand_deep_is_printed(keyword: str) -> None:
    schema: object = {"type": "string"}
    for _ in range(100_000):
        match keyword:
            case "properties":
                schema = {keyword: {"p": schema}}
            case "items":
                schema = {keyword: schema}
            case _:
                schema = {keyword: [schema]}

    assert len(property_type(schema)) < 2_000


def doubling() -> Json:
    """Forty definitions, each of the next one twice: 2^40 types."""
    return {
        "properties": {"p": {"$ref": "#/$defs/0"}},
        "$defs": {
            str(n): {"properties": {side: {"$ref": f"#/$defs/{n + 1}"} for side in "lr"}}
            for n in range(40)
        },
    }


def self_containing() -> Json:
    """Each of a hundred definitions holds all of them."""
    all_of_them = {f"p{n}": {"$ref": f"#/$defs/{n}"} for n in range(100)}
    return {
        "properties": all_of_them,
        "$defs": {str(n): {"properties": all_of_them} for n in range(100)},
    }


def long_description() -> Json:
    """A description of 100,000 characters, referred to a thousand times."""
    return {
        "properties": {f"p{n}": {"$ref": "#/$defs/A"} for n in range(1_000)},
        "$defs": {"A": {"type": "string", "description": "x" * 100_000}},
    }


def long_required() -> Json:
    """A list that is read, but not printed, wherever it is referred to."""
    return {
        "properties": {f"p{n}": {"$ref": "#/$defs/A"} for n in range(20_000)},
        "$defs": {"A": {"type": "object", "required": ["x"] * 100_000}},
    }


def long_titles() -> Json:
    """Nothing is left for the types behind the first title."""
    union = {"title": "x" * MAX_TYPES_CHARACTERS, "oneOf": [{"type": "string"}] * 1_000}
    return {"properties": {"p": union, "q": union}}


def wide_all_of() -> Json:
    """Fifty thousand parts, each of which is the whole."""
    return {"allOf": [{"$ref": "#"}] * 50_000, "properties": {"p": {"$ref": "#"}}}


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "schema",
    [doubling, self_containing, long_description, long_required, long_titles, wide_all_of],
)
def test_a_schema_that_multiplies_itself_is_cut(schema: Any) -> None:
    tools = [Tool(f"f{n}", "", schema()) for n in range(3)]

    assert len(tools_text(tools)) < MAX_TYPES_CHARACTERS + 200_000
