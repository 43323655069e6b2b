"""JSON that fits a schema."""

from __future__ import annotations

import json
from typing import Any

import pytest

from workers.engines.simulator.instance import instance


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "Paris"),
        ({"type": "string", "minLength": 7}, "Parisss"),
        ({"type": "string", "maxLength": 2}, "Pa"),
        ({"type": "string", "format": "date"}, "2025-01-31"),
        ({"type": "integer"}, 1),
        ({"type": "integer", "minimum": 5, "maximum": 9}, 5),
        ({"type": "number", "exclusiveMaximum": 0}, -1),
        ({"type": "number", "exclusiveMinimum": 2, "exclusiveMaximum": 2.5}, 2.25),
        ({"type": "integer", "minimum": 3, "multipleOf": 2}, 4),
        ({"minimum": 5, "maximum": 3, "type": "integer"}, 5),
        ({"type": "boolean"}, True),
        ({"type": ["null", "string"]}, None),
        ({"const": 7}, 7),
        ({"enum": ["a", "b"]}, "a"),
        ({}, "Paris"),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
        ({"type": "object"}, {}),
        ({"properties": {"a": {"type": "null"}}, "required": ["a"]}, {"a": None}),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, 1),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"type": "integer"}}}, 1),
        ({"$ref": "#/missing/x"}, None),
    ],
)
def test_a_value_fits_its_schema(schema: Any, value: Any) -> None:
    assert instance(schema) == value


def test_a_schema_that_is_not_an_object_is_null() -> None:
    schema = {"type": "object", "properties": {"v": True}, "required": ["v"]}

    assert instance(schema) == {"v": None}


def test_a_small_schema_cannot_ask_for_a_large_value() -> None:
    level: Any = {"type": "string", "minLength": 10**12}
    for _ in range(6):
        level = {
            "type": "object",
            "properties": {str(name): level for name in range(60)},
            "required": [str(name) for name in range(60)],
        }
    items: Any = {"type": "null"}
    for _ in range(6):
        items = {"type": "array", "items": items, "minItems": 10**12}

    assert len(json.dumps(instance(level))) < 3_000_000
    assert len(json.dumps(instance(items))) < 100_000


def test_properties_come_in_the_order_of_the_schema() -> None:
    schema = {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["b", "c", "a"]}

    assert list(instance(schema)) == ["a", "b", "c"]


def test_a_recursive_schema_comes_to_an_end() -> None:
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}

    depth, value = 0, instance(schema)
    while value is not None:
        depth, value = depth + 1, value["next"]

    assert depth < 20


def test_a_branch_that_is_just_true_or_false_is_a_schema_too() -> None:
    for key in ("anyOf", "oneOf", "allOf"):
        assert instance({"type": "string", key: [True]}) == "Paris"
