"""The body of a request: bytes to JSON, with errors that say where it is wrong."""

from __future__ import annotations

import json

import orjson

from gateway.responses.errors import ApiError, invalid_request


def parse_json_object(body: bytes) -> dict[str, object]:
    """Raises ApiError: 400 invalid_json, invalid_unicode or invalid_type."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise _explained(body, exc) from exc
    if not isinstance(value, dict):
        raise invalid_request(
            'The body of the request must be a JSON object, like {"model": "gpt-oss-120b", ...}.',
            code="invalid_type",
        )
    return value


def _explained(body: bytes, error: orjson.JSONDecodeError) -> ApiError:
    if not body.strip():
        return invalid_request(
            "The body of the request is empty; a JSON object is expected.", code="invalid_json"
        )
    if (param := _unpaired_surrogate(body)) is not None:
        return invalid_request(
            f"'{param}' holds an unpaired surrogate (\\ud800-\\udfff), which is not a character."
            " Remove it, or send the whole pair.",
            code="invalid_unicode",
            param=param,
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
    try:
        value = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    # Not recursive: json.loads accepts nesting that our own stack would not.
    todo: list[tuple[str, object]] = [("", value)]
    while todo:
        path, node = todo.pop()
        if isinstance(node, str):
            if any("\ud800" <= char <= "\udfff" for char in node):
                return path
        elif isinstance(node, dict):
            for key, child in node.items():
                todo.append((path, key))
                todo.append((f"{path}.{key}" if path else key, child))
        elif isinstance(node, list):
            todo.extend((f"{path}[{index}]", child) for index, child in enumerate(node))
    return None


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")
