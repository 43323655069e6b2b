"""JSON that fits a schema: what the model answers under a `# Response Formats` heading.

Reads the part of JSON Schema that people write; what it does not know, it ignores.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from workers.engines.simulator.conversation import PromptMessage

_HEADING = "# Response Formats\n"
_MAX_DEPTH = 12  # of recursive schemas; below, null
_FORMATS = {
    "date": "2025-01-31",
    "time": "12:00:00Z",
    "date-time": "2025-01-31T12:00:00Z",
    "duration": "P1D",
    "email": "a@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def response_schema(messages: Sequence[PromptMessage]) -> dict[str, Any] | None:
    """The schema that the answer has to follow; None if it may be prose."""
    for message in reversed(messages):
        if message.role == "developer" and _HEADING in message.text:
            for line in message.text.rsplit(_HEADING, 1)[1].splitlines():
                if line.startswith("{"):
                    return _parse(line)
    return None


def instance(schema: dict[str, Any]) -> Any:
    """A value that fits *schema*: required properties only, the first of alternatives."""
    return _instance(schema, schema, 0)


def _parse(line: str) -> dict[str, Any] | None:
    try:
        schema = json.loads(line)
    except ValueError:
        return None  # instructions that only look like a format
    return schema if isinstance(schema, dict) else None


def _instance(schema: Any, root: dict[str, Any], depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return None
    if "$ref" in schema:
        return _instance(_resolve(str(schema["$ref"]), root), root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return _instance({**schema, key: None, **schema[key][0]}, root, depth + 1)
    return _of_type(schema, root, depth)


def _of_type(schema: dict[str, Any], root: dict[str, Any], depth: int) -> Any:
    kind = schema.get("type")
    match kind[0] if isinstance(kind, list) and kind else kind:
        case "object":
            return _object(schema, root, depth)
        case "array":
            item = _instance(schema.get("items", {}), root, depth + 1)
            return [item] * int(schema.get("minItems", 1 if depth < 4 else 0))
        case "string":
            return _string(schema)
        case "integer":
            return int(_number(schema))
        case "number":
            return _number(schema)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _object(schema, root, depth) if "properties" in schema else "Paris"


def _object(schema: dict[str, Any], root: dict[str, Any], depth: int) -> dict[str, Any]:
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    # In the order of the properties: grammars of schemas insist on it.
    names = [*(name for name in properties if name in required), *required]
    return {
        name: _instance(properties.get(name, {}), root, depth + 1) for name in dict.fromkeys(names)
    }


def _string(schema: dict[str, Any]) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    text = "Paris".ljust(int(schema.get("minLength", 0)), "s")
    return text[: int(schema.get("maxLength", len(text)))]


def _number(schema: dict[str, Any]) -> int | float:
    """1, or what is allowed and nearest to it."""
    low = schema.get("minimum", schema.get("exclusiveMinimum", -math.inf) + 1)
    high = schema.get("maximum", schema.get("exclusiveMaximum", math.inf) - 1)
    if low > high:  # exclusive bounds with no whole number between them
        middle: float = (schema["exclusiveMinimum"] + schema["exclusiveMaximum"]) / 2
        return middle
    value: int | float = max(low, min(1, high))
    if step := schema.get("multipleOf"):
        value = math.ceil(value / step) * step
    return value


def _resolve(reference: str, root: dict[str, Any]) -> Any:
    found: Any = root
    for part in reference.lstrip("#/").split("/"):
        if part:
            found = found.get(part) if isinstance(found, dict) else None
    return found
