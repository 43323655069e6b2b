"""The body of a request: bytes to JSON, with errors that say where it is wrong."""

from __future__ import annotations

import json
import re

import orjson

from gateway.responses.errors import (
    MAX_PARAM_CHARS,
    ApiError,
    invalid_request,
    shortened,
    too_many_values,
)

# What is in a request, all told; 10,000 items of many fields are half of it. orjson
# keeps the interpreter until it is done: 16 MB of `0,` would stop everything for 0.3 s.
MAX_VALUES = 250_000
# A shorter body is parsed before it is counted.
MIN_COUNTED_BYTES = 500_000
_SLICE = 65_536

# What is wrong in a longer body is not looked for as closely: 16 MB take a second.
MAX_EXPLAINED_BYTES = 1_000_000


_UNPAIRED = re.compile("[\ud800-\udfff]")


def parse_json_object(body: bytes) -> dict[str, object]:
    """Raises ApiError: 400 invalid_json, invalid_unicode or invalid_type; 413."""
    try:
        _check_count(body)
        value = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise _explained(body, exc) from exc
    if not isinstance(value, dict):
        raise invalid_request(
            'The body of the request must be a JSON object, like {"model": "gpt-oss-120b", ...}.',
            code="invalid_type",
        )
    return value


def _check_count(body: bytes) -> None:
    """Count commas and brackets, strings left out; in slices, between which others may run."""
    if len(body) < MIN_COUNTED_BYTES:
        return
    count = start = 0
    in_string = False
    while start < len(body):
        text = body[start : start + _SLICE]
        if (len(text) - len(text.rstrip(b"\\"))) % 2:  # an escape is not cut in two
            text = body[start : start + _SLICE + 1]
        start += len(text)
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = text.split(b'"')
        outside = b"".join(parts[in_string::2])
        count += outside.count(b",") + outside.count(b"[") + outside.count(b"{")
        if count > MAX_VALUES:
            raise too_many_values(MAX_VALUES)
        in_string ^= len(parts) % 2 == 0


def _explained(body: bytes, error: orjson.JSONDecodeError) -> ApiError:
    if not body.strip():
        return invalid_request(
            "The body of the request is empty; a JSON object is expected.", code="invalid_json"
        )
    if (param := _unpaired_surrogate(body)) is not None:
        where = f"'{shortened(param, MAX_PARAM_CHARS)}'" if param else "The body of the request"
        return invalid_request(
            f"{where} holds an unpaired surrogate (\\ud800-\\udfff), which is not a character."
            " Remove it, or send the whole pair.",
            code="invalid_unicode",
            param=param or None,
        )
    return invalid_request(
        f"The body of the request is not valid JSON: {error.msg} (line {error.lineno},"
        f" column {error.colno}).",
        code="invalid_json",
    )


def _unpaired_surrogate(body: bytes) -> str | None:
    """Where an unpaired surrogate stands, if that is all that is wrong.

    orjson refuses such text as it refuses any bad JSON, but tenants send it:
    a string cut in the middle of an emoji, say. The standard library reads it.
    """
    if len(body) > MAX_EXPLAINED_BYTES:
        return None
    try:
        value = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    # Not recursive: json.loads accepts nesting that our own stack would not.
    todo: list[tuple[str, object]] = [("", value)]
    while todo:
        path, node = todo.pop()
        if isinstance(node, str):
            if _UNPAIRED.search(node):
                return path
        elif isinstance(node, dict):
            for key, child in node.items():
                todo.append((path, key))  # what is wrong with a key is told of its object
                name = _UNPAIRED.sub("\ufffd", key[:MAX_PARAM_CHARS])
                todo.append((f"{path}.{name}" if path else name, child))
        elif isinstance(node, list):
            todo.extend((f"{path}[{index}]", child) for index, child in enumerate(node))
    return None


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")
