"""How large a JSON schema of a request may be.

The bounds are generous next to OpenAI's (5,000 properties, 10 levels); they are
there for the gateway itself, which walks, prints and compiles schemas, and
repeats them in its answers. Whether a schema makes sense is the compiler's to
say (`gateway/schema_compiler.py`). Never recursive, and the walk ends with the
first bound that is broken: a body full of brackets costs milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from gateway.responses.errors import ApiError, invalid_request
from gateway.responses.request import CreateResponse

MAX_SCHEMA_BYTES = 256 * 1024
MAX_TOTAL_BYTES = 1024 * 1024
# orjson prints 254 levels, and the answer holds a schema some levels deep.
MAX_DEPTH = 64
MAX_PROPERTIES = 5_000
MAX_ENUM_VALUES = 5_000
MAX_PATTERN_CHARS = 4_096
# Of anything, in all schemas of a request together: what bounds the walk.
MAX_VALUES = 50_000

# The keys and indexes that lead to a value, the last one first.
_Path = tuple[object, "_Path"] | None


def check_schema_limits(request: CreateResponse) -> None:
    """Raises ApiError: 400 invalid_json_schema, naming the schema and the place in it."""
    total_bytes = 0
    values_left = MAX_VALUES
    for param, schema in _schemas(request):
        values_left -= _walk(schema, param, values_left)
        size = len(orjson.dumps(schema))
        total_bytes += size
        if size > MAX_SCHEMA_BYTES:
            raise _refused(param, None, f"is {size} bytes long; {MAX_SCHEMA_BYTES} are allowed")
        if total_bytes > MAX_TOTAL_BYTES:
            raise _refused(
                param, None, f"makes all schemas together longer than {MAX_TOTAL_BYTES} bytes"
            )


def _schemas(request: CreateResponse) -> Iterator[tuple[str, dict[str, object]]]:
    if request.text.format.json_schema is not None:
        yield "text.format.schema", request.text.format.json_schema
    for index, tool in enumerate(request.tools):
        if tool.parameters:
            yield f"tools[{index}].parameters", tool.parameters


def _walk(schema: dict[str, object], param: str, values_left: int) -> int:
    """How many values *schema* consists of."""
    values = properties = enum_values = 0
    todo: list[tuple[object, _Path, int]] = [(schema, None, 1)]
    while todo:
        value, path, depth = todo.pop()
        values += 1
        if isinstance(value, dict):
            values_left -= len(value)
            properties += _size(value.get("properties"))
            enum_values += _size(value.get("enum"))
            pattern = value.get("pattern")
            if isinstance(pattern, str) and len(pattern) > MAX_PATTERN_CHARS:
                raise _refused(
                    param,
                    ("pattern", path),
                    f"is longer than {MAX_PATTERN_CHARS} characters",
                )
        elif isinstance(value, list):
            values_left -= len(value)
        else:
            continue
        if depth > MAX_DEPTH:
            raise _refused(param, path, f"is nested more than {MAX_DEPTH} levels deep")
        if values_left < 0:
            raise _refused(param, path, f"is one of more than {MAX_VALUES} values in all schemas")
        if properties > MAX_PROPERTIES:
            raise _refused(param, path, f"brings the properties to more than {MAX_PROPERTIES}")
        if enum_values > MAX_ENUM_VALUES:
            raise _refused(param, path, f"brings the enum values to more than {MAX_ENUM_VALUES}")
        children = value.items() if isinstance(value, dict) else enumerate(value)
        todo += [(child, (key, path), depth + 1) for key, child in children]
    return values


def _size(value: object) -> int:
    return len(value) if isinstance(value, dict | list) else 0


def _refused(param: str, path: _Path, what: str) -> ApiError:
    place = f"the value at '{_pointer(path)}'" if path else "the schema"
    return invalid_request(
        f"Invalid schema for '{param}': {place} {what}.", code="invalid_json_schema", param=param
    )


def _pointer(path: _Path, limit: int = 400) -> str:
    """The JSON pointer of *path*; the front of a long one is left out."""
    parts: list[str] = []
    length = 0
    while path is not None and length < limit:
        key, path = path
        part = str(key)[:limit].replace("~", "~0").replace("/", "~1")
        parts.append(f"/{part}")
        length += len(part) + 1
    return ("..." if path is not None else "") + "".join(reversed(parts))
