"""Schemas that are too large are refused at once, and the place is named."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.responses import schema_limits as limits
from gateway.responses.errors import ApiError
from gateway.responses.request import CreateResponse
from gateway.responses.response import ResponseObject
from gateway.responses.schema_limits import check_schema_limits
from gateway.responses.validation import validated
from tests.cpu_time import best_cpu_s


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels - 1):
        schema = {"items": schema}
    return schema


def with_format(schema: dict[str, Any]) -> CreateResponse:
    text = {"format": {"type": "json_schema", "name": "n", "schema": schema}}
    return validated(CreateResponse, {"model": "m", "input": "hi", "text": text})


def with_tools(*schemas: dict[str, Any]) -> CreateResponse:
    tools = [
        {"type": "function", "name": f"f{n}", "parameters": schema}
        for n, schema in enumerate(schemas)
    ]
    return validated(CreateResponse, {"model": "m", "input": "hi", "tools": tools})


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (nested(65), "the value at '" + "/items" * 64 + "' is nested more than 64 levels deep"),
        (nested(1000), "is nested more than 64 levels deep"),
        (
            {"properties": {"a/b": {"pattern": "x" * 4097}}},
            "the value at '/properties/a~1b/pattern' is longer than 4096 characters",
        ),
        ({"properties": {str(n): {} for n in range(5001)}}, "properties to more than 5000"),
        ({"enum": list(range(5001))}, "enum values to more than 5000"),
        ({"examples": list(range(50_001))}, "is one of more than 50000 values"),
        ({"title": "x" * limits.MAX_SCHEMA_BYTES}, "the schema is 262156 bytes long"),
    ],
    ids=["deep", "deeper", "pattern", "properties", "enum", "values", "bytes"],
)
def test_a_schema_that_is_too_large_is_refused_with_its_place(
    schema: dict[str, Any], said: str
) -> None:
    for request, param in (
        (with_format(schema), "text.format.schema"),
        (with_tools({"type": "object"}, schema), "tools[1].parameters"),
    ):
        with pytest.raises(ApiError) as raised:
            check_schema_limits(request)
        refused = raised.value
        assert (refused.status, refused.code, refused.param) == (400, "invalid_json_schema", param)
        assert said in refused.message
        assert len(refused.message) < 1000


def test_all_schemas_together_have_a_limit_too() -> None:
    with pytest.raises(ApiError) as raised:
        check_schema_limits(with_tools(*[{"title": "x" * 200_000}] * 6))
    assert raised.value.param == "tools[5].parameters"
    with pytest.raises(ApiError):
        check_schema_limits(with_tools(*[{"examples": [0] * 10_000}] * 6))


def test_the_deepest_schema_that_is_taken_can_be_repeated_in_the_answer() -> None:
    for request in (with_format(nested(64)), with_tools(nested(64))):
        check_schema_limits(request)
        told = ResponseObject(request, response_id="r", created_at=0, model="m").in_progress()
        assert orjson.loads(orjson.dumps(told)) == told


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":' * 1000 + b"1" + b"}" * 1000,
        b'{"a":[' + b",".join([b"[]"] * 3_000_000) + b"]}",
        b'{"a":[' + b",".join([b"[{}]"] * 40_000) + b"]}",
        b'{"properties":{' + b",".join(b'"%d":{}' % n for n in range(500_000)) + b"}}",
    ],
    ids=["depth", "wide", "pairs", "properties"],
)
def test_a_schema_that_is_a_bomb_costs_milliseconds(body: bytes) -> None:
    request = with_format(orjson.loads(body))

    def check() -> None:
        with pytest.raises(ApiError):
            check_schema_limits(request)

    assert best_cpu_s(check) < 0.1
