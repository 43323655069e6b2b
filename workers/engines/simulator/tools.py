"""A call of the first declared function, with arguments that fit its types.

Functions are declared in a developer message as TypeScript, which is read line by
line, the way harmony prints it:

    namespace functions {

    // Where it is raining.
    type get_weather = (_: {
    city: string,
    unit?: "c" | "f", // default: c
    }) => any;

    } // namespace functions
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workers.engines.simulator.conversation import PromptMessage

Json = dict[str, "Json"] | list["Json"] | str | int | bool | None

_NAMESPACE = "namespace functions {"
_FUNCTION = re.compile(r"^type (?P<name>\S+) = \((?P<object>_: \{)?")
_PROPERTY = re.compile(r"^(?P<name>.+?)(?P<optional>\?)?:(?: (?P<type>.*))?$")
_TAIL = re.compile(r",(?:\s*//.*)?$")


@dataclass(frozen=True, slots=True)
class ToolCall:
    name: str  # without "functions."
    arguments: dict[str, Json]


def first_tool_call(messages: Sequence[PromptMessage]) -> ToolCall | None:
    """A harmless call of the first function that is declared; None without functions."""
    for message in messages:
        if message.role == "developer" and _NAMESPACE in message.text:
            lines = _lines(message.text.split(_NAMESPACE, 1)[1])
            for line in lines:
                if match := _FUNCTION.match(line):
                    return ToolCall(match["name"], _object(lines) if match["object"] else {})
    return None


def _lines(text: str) -> Iterator[str]:
    """The lines without comments of their own."""
    stripped = (line.strip() for line in text.splitlines())
    return (line for line in stripped if line and not line.startswith("//"))


def _object(lines: Iterator[str]) -> dict[str, Json]:
    """Read up to the line that closes the object; required properties only."""
    properties: dict[str, Json] = {}
    for line in lines:
        if line.startswith("}"):
            break
        if match := _PROPERTY.match(line):
            value = _value(match["type"] or "", lines)
            if not match["optional"]:
                properties[match["name"]] = value
    return properties


def _value(type_text: str, lines: Iterator[str]) -> Json:
    """A value of the type that begins with *type_text* and may go on in *lines*."""
    if not type_text:
        return _alternative(lines)
    if type_text.endswith("{"):
        return _nested(lines)
    return _simple(_TAIL.sub("", type_text))


def _nested(lines: Iterator[str]) -> Json:
    closed_by: list[str] = []

    def inner() -> Iterator[str]:
        for line in lines:
            closed_by[:] = [line]
            yield line

    value = _object(inner())
    return [] if closed_by and closed_by[0].startswith("}[]") else value


def _alternative(lines: Iterator[str]) -> Json:
    """The first of a union that is printed one alternative a line, and ends with `,`."""
    values: list[Json] = []
    for line in lines:
        if line.startswith(","):
            break
        if line.startswith("|"):
            values.append(_value(line[1:].strip(), lines))
    return values[0] if values else None


def _simple(type_text: str) -> Json:
    if type_text.endswith("[]") or type_text.startswith("Array<"):
        return []
    if type_text.startswith('"'):
        # Quotes inside are printed as they are: only `" | "` separates.
        return type_text[1:].split('" | "')[0].removesuffix('"')
    match type_text.split(" | ")[0]:
        case "number" | "integer":
            return 1
        case "boolean":
            return True
        case "null":
            return None
        case "object":
            return {}
        case _:
            return "Paris"
