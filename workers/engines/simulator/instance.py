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
# Schemas are tenants': a short one may ask for more than there is memory or time.
# What is too little is wrong, and where there is a grammar, put right by it.
_MAX_VALUES = 2_000
_MAX_LENGTH = 1_000
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
    return _Instance(schema).of(schema, 0)


def _parse(line: str) -> dict[str, Any] | None:
    try:
        schema = json.loads(line)
    except ValueError:
        return None  # instructions that only look like a format
    return schema if isinstance(schema, dict) else None


class _Instance:
    """One value in the making."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._left = _MAX_VALUES

    def of(self, schema: Any, depth: int) -> Any:
        self._left -= 1
        if not isinstance(schema, dict) or depth > _MAX_DEPTH or self._left < 0:
            return None
        if "$ref" in schema:
            return self.of(_resolve(str(schema["$ref"]), self._root), depth + 1)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][0]
        for key in ("anyOf", "oneOf", "allOf"):
            if schema.get(key):
                first = schema[key][0]  # true and false are schemas too
                branch = first if isinstance(first, dict) else {}
                return self.of({**schema, key: None, **branch}, depth + 1)
        return self._of_type(schema, depth)

    def _of_type(self, schema: dict[str, Any], depth: int) -> Any:
        kind = schema.get("type")
        match kind[0] if isinstance(kind, list) and kind else kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
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
                return self._object(schema, depth) if "properties" in schema else "Paris"

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        count = int(schema.get("minItems", 1 if depth < 4 else 0))
        items: list[Any] = []
        while len(items) < count and self._left > 0:
            items.append(self.of(schema.get("items", {}), depth + 1))
        return items

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        required = set(schema.get("required", []))
        # In the order of the properties: grammars of schemas insist on it.
        names = [*(name for name in properties if name in required), *schema.get("required", [])]
        return {name: self.of(properties.get(name, {}), depth + 1) for name in dict.fromkeys(names)}


def _string(schema: dict[str, Any]) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    text = "Paris".ljust(min(int(schema.get("minLength", 0)), _MAX_LENGTH), "s")
    return text[: int(schema.get("maxLength", len(text)))]


def _number(schema: dict[str, Any]) -> int | float:
    """1, or what is allowed and nearest to it."""
    low = schema.get("minimum", schema.get("exclusiveMinimum", -math.inf) + 1)
    high = schema.get("maximum", schema.get("exclusiveMaximum", math.inf) - 1)
    if low > high and {"exclusiveMinimum", "exclusiveMaximum"} <= schema.keys():
        # No whole number lies between them.
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
