"""JSON schemas as tenants write them, and constraints made of them."""

from __future__ import annotations

import functools
import json
from typing import Any

from workers.engine import Function, OutputConstraint

Schema = dict[str, Any]


def closed(properties: Schema, **more: Any) -> Schema:
    """An object with these properties, all required, and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **more,
    }


def constrained(
    final: Schema | str = "", *, call_required: bool = False, **functions: Schema | str
) -> OutputConstraint:
    """Schemas as objects or as text; "" = none."""

    def text(schema: Schema | str) -> str:
        return schema if isinstance(schema, str) else json.dumps(schema)

    return OutputConstraint(
        functions=tuple(Function(name, text(schema)) for name, schema in functions.items()),
        call_required=call_required,
        final_schema_json=text(final),
    )


_NODE = closed(
    {
        "value": {"type": "number"},
        "children": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2},
    }
)
_FORMATS = ("date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")

SCHEMAS: dict[str, Schema] = {
    "flat": closed(
        {"name": {"type": "string"}, "age": {"type": "integer"}, "ok": {"type": "boolean"}}
    ),
    "nested": closed(
        {"a": closed({"b": closed({"c": {"type": "null"}, "d": {"type": "number"}})})}
    ),
    "enums": closed({"s": {"enum": ["é", 'a"b', "c"]}, "n": {"enum": [3, 1.5, None, True, "x"]}}),
    "const": closed({"c": {"const": "fixed"}, "d": {"const": 7}, "e": {"const": {"f": [1]}}}),
    "any of": closed({"x": {"anyOf": [closed({"k": {"const": 1}}), {"type": "null"}]}}),
    "one of": {"oneOf": [closed({"k": {"const": "a"}}), closed({"k": {"const": "b"}})]},
    "all of": {"allOf": [closed({"a": {"type": "string"}}), {"type": "object"}]},
    "recursive": {"$defs": {"node": _NODE}, **closed({"root": {"$ref": "#/$defs/node"}})},
    "optional recursion": {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        "required": ["next"],
    },
    "items": closed(
        {
            "two to four": {
                "type": "array",
                "items": {"enum": ["a", "b"]},
                "minItems": 2,
                "maxItems": 4,
            },
            "none": {"type": "array", "maxItems": 0},
            "pair": {
                "type": "array",
                "prefixItems": [{"type": "string"}, {"type": "integer"}],
                "items": False,
                "minItems": 2,
            },
        }
    ),
    "lengths": closed(
        {
            "short": {"type": "string", "minLength": 2, "maxLength": 5},
            "long": {"type": "string", "minLength": 50},
            "none": {"type": "string", "maxLength": 0},
        }
    ),
    "patterns": closed(
        {
            "code": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$"},
            "end": {"type": "string", "pattern": "^.*z$"},
            "braces": {"type": "string", "pattern": "^[}a]*b$"},
            "blank": {"type": "string", "pattern": "^( |\\t)+\\\\$"},
            "umlaut": {"type": "string", "pattern": "^[äöü]{2}$"},
            "anywhere": {"type": "string", "pattern": "[0-9]x"},
        }
    ),
    "formats": closed({name: {"type": "string", "format": name} for name in _FORMATS}),
    "bounds": closed(
        {
            "i": {"type": "integer", "minimum": 5, "maximum": 9},
            "far": {"type": "integer", "minimum": 1234, "maximum": 1240},
            "f": {"type": "number", "minimum": -1, "maximum": 1},
            # With an exclusiveMaximum of 2.5 as well, llguidance 0.7.29 lets 2 pass.
            "over": {"type": "number", "exclusiveMinimum": 2},
            "even": {"type": "integer", "multipleOf": 2, "minimum": 3},
        }
    ),
    "some required": {
        "type": "object",
        "properties": {each: {"type": "integer"} for each in "abcd"},
        "required": ["d", "b"],
        "additionalProperties": False,
    },
    "others allowed": {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a", "unknown"],
        "additionalProperties": {"type": "integer"},
    },
    "no properties": {"type": "object"},
    "no type": {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
    "anything": {},
    "types": closed({"x": {"type": ["string", "null"]}, "y": {"type": ["array", "object"]}}),
    "not an object": {"type": "integer", "minimum": 17},
    "defaults and titles": closed(
        {"a": {"type": "string", "title": "A", "description": "{é}\n| x", "default": "b"}}
    ),
}

# name: (schema, what the refusal says)
REFUSED: dict[str, tuple[Schema | str, str]] = {
    "unknown keyword": ({"not": {"type": "string"}}, 'Unimplemented keys: ["not"]'),
    "unknown format": ({"type": "string", "format": "odd"}, "Unknown format: odd"),
    "lookahead": ({"type": "string", "pattern": "(?=a)b"}, "look-around"),
    "elsewhere": ({"$ref": "https://example.com/x.json"}, "is not present in a registry"),
    "nowhere": ({"$ref": "#/$defs/x"}, "Pointer '/$defs/x' does not exist"),
    "contradiction": ({"type": "string", "enum": [1]}, "Unsatisfiable schema"),
    "endless": ({"$ref": "#"}, "nothing satisfies this schema"),
    "no JSON": ("{", "not JSON"),
    "no number": ('{"const": NaN}', "NaN is no number"),
    "no object": ("[1]", "must be a JSON object"),
    "deep text": ("[" * 100_000, "not JSON"),
    "deep": (
        functools.reduce(lambda a, _: {"items": a, "type": "array"}, range(150), Schema()),
        "recursion limit exceeded",
    ),
    "half a character": ('{"const": "\\ud800"}', "unexpected end of hex escape"),
}

# They cost as much as they can; whether they are refused is llguidance's affair.
BOMBS: dict[str, Schema] = {
    "references": {
        "$ref": "#/$defs/d0",
        "$defs": {
            **{
                f"d{level}": closed({key: {"$ref": f"#/$defs/d{level + 1}"} for key in "uvwxyz"})
                for level in range(30)
            },
            "d30": {"type": "string"},
        },
    },
    "repetitions": {"type": "string", "pattern": "^(([a-z]{1,1000}){1,1000}){1,1000}$"},
    "long pattern": {"type": "string", "pattern": "^" + "[a-zA-Z0-9]?" * 5000 + "$"},
    "states": {
        "type": "string",
        "pattern": "^(" + "|".join(f"(a|b)*a(a|b){{{count}}}" for count in range(200)) + ")$",
    },
    "values": {"enum": [f"value-{number}" for number in range(10_000)]},
    "optional properties": {
        "type": "object",
        "properties": {f"p{number}": {"type": "string"} for number in range(3000)},
        "additionalProperties": False,
    },
    "products": {
        "allOf": [
            {"anyOf": [{"properties": {f"p{a}{b}": {"type": "integer"}}} for b in range(4)]}
            for a in range(10)
        ]
    },
}
