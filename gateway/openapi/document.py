"""From the operations to the OpenAPI 3.1 document. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from gateway.openapi.answers import ErrorBody
from gateway.openapi.operation import EventStream, Example, Json, Operation
from gateway.openapi.schemas import schemas_of
from gateway.responses.dialect import OPEN_RESPONSES_HEADER
from gateway.responses.error_table import ERROR_TABLE, ErrorKind, Occasion

PROJECT_PREFIX = "/{project_id}"

DESCRIPTION = """\
An OpenAI-compatible API for gpt-oss-120b: use OpenAI's client libraries with this address and your
key. Nothing that you send is stored.

Every path exists twice: for your key's default project, and below `/{project_id}` for another
project that your key may use.
"""

_STATUSES = {
    400: "The request is wrong.",
    401: "The key is missing or wrong.",
    403: "The key may not do this.",
    404: "There is no such thing.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is not JSON, or compressed.",
    429: "A quota is used up, or the model has too much to do.",
    500: "The gateway or the model has failed.",
    503: "The request cannot be served now.",
    504: "The model did not answer in time.",
}

_HEADERS: dict[str, tuple[str, Json]] = {
    "x-request-id": (
        "Names this request in our logs: yours, if you send a harmless one.",
        {"type": "string"},
    ),
    "retry-after": ("Try again after so many seconds.", {"type": "integer", "minimum": 1}),
    "retry-after-ms": (
        "Try again after so many milliseconds; only for a quota.",
        {"type": "integer", "minimum": 0},
    ),
    "x-should-retry": (
        "`false` if the request can never pass: it is larger than a whole minute's quota.",
        {"const": "false"},
    ),
    OPEN_RESPONSES_HEADER: (
        "The first 64 characters of what the request has in this header; only if it has it.",
        {"type": "string", "maxLength": 64},
    ),
    "www-authenticate": ("How to authenticate.", {"type": "string"}),
    "x-ratelimit-limit-requests": (
        "Requests a minute that your project may send. Only if there is a limit.",
        {"type": "integer"},
    ),
    "x-ratelimit-remaining-requests": ("Requests left at once.", {"type": "integer"}),
    "x-ratelimit-reset-requests": ("When all are there again: `6m0s`.", {"type": "string"}),
    "x-ratelimit-limit-tokens": (
        "Tokens a minute that your project may use. Only if there is a limit.",
        {"type": "integer"},
    ),
    "x-ratelimit-remaining-tokens": ("Tokens left at once.", {"type": "integer"}),
    "x-ratelimit-reset-tokens": ("When all are there again: `1.5s`.", {"type": "string"}),
    "x-gateway-max-output-tokens": (
        "What the answer was cut to, because a budget has no more. Only if it was.",
        {"type": "integer"},
    ),
}
_RATE_LIMITS = [name for name in _HEADERS if name.startswith("x-ratelimit-")]
_HEADERS_OF_STATUS = {
    401: ["www-authenticate"],
    429: ["retry-after", "retry-after-ms", "x-should-retry", *_RATE_LIMITS],
    503: ["retry-after", *_RATE_LIMITS],
}


def build_document(operations: Sequence[Operation], *, version: str) -> Json:
    """The whole document, ready to be encoded. *version* is the product's."""
    streams = {
        operation.id: operation.stream() for operation in operations if operation.stream is not None
    }
    components: dict[str, Any] = {
        "schemas": schemas_of(_models(operations, streams.values()))
        | {stream.name: _union(stream) for stream in streams.values()},
        "headers": {
            name: {"description": description, "schema": schema}
            for name, (description, schema) in _HEADERS.items()
        },
        "parameters": {
            "project_id": {
                "name": "project_id",
                "in": "path",
                "required": True,
                "description": "The project to charge and to limit, instead of the key's default.",
                "schema": {"type": "string"},
            }
        },
        "securitySchemes": {
            "key": {
                "type": "http",
                "scheme": "bearer",
                "description": "Your API key: `Authorization: Bearer gwk_...`.",
            }
        },
        "requestBodies": {},
        "responses": {},
    }
    paths: dict[str, Any] = {}
    for prefix in ("", PROJECT_PREFIX):
        for operation in operations:
            path = prefix + re.sub(r":\w+\}", "}", operation.path)
            described = _operation(operation, streams.get(operation.id), components)
            if prefix:
                described["operationId"] += "InProject"
                described["parameters"].insert(0, _ref("parameters", "project_id"))
            paths.setdefault(path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": "llm-gateway", "version": version, "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "tags": [{"name": name} for name in dict.fromkeys(op.tag for op in operations)],
        "paths": paths,
        "components": components,
    }


def _models(
    operations: Sequence[Operation], streams: Iterable[EventStream]
) -> Iterable[type[BaseModel]]:
    models: dict[type[BaseModel], None] = {ErrorBody: None}  # each once, in order
    for operation in operations:
        models[operation.answer] = None
        if operation.request is not None:
            models[operation.request.model] = None
    for stream in streams:
        models |= dict.fromkeys(stream.events)
    return models


def _operation(
    operation: Operation, stream: EventStream | None, components: dict[str, Any]
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "parameters": [
            {
                "name": name,
                "in": "path",
                "required": True,
                "description": description,
                "schema": {"type": "string", "minLength": 1},
            }
            for name, description in operation.path_parameters.items()
        ]
        + [
            {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
            for name, text in operation.header_parameters.items()
        ]
        + [
            {
                "name": name,
                "in": "query",
                "required": parameter.required,
                "description": parameter.description,
                "schema": parameter.schema,
            }
            for name, parameter in operation.query_parameters.items()
        ],
    }
    if operation.request is not None:
        components["requestBodies"][operation.id] = {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _ref("schemas", operation.request.model.__name__),
                    "examples": _examples(operation.request.examples),
                }
            },
        }
        described["requestBody"] = _ref("requestBodies", operation.id)
    described["responses"] = {}
    for status, response in _responses(operation, stream).items():
        name = f"{operation.id}.{status}"
        components["responses"][name] = response
        described["responses"][str(status)] = _ref("responses", name)
    return described


def _responses(operation: Operation, stream: EventStream | None) -> dict[int, Json]:
    content: dict[str, Any] = {
        "application/json": {
            "schema": _ref("schemas", operation.answer.__name__),
            "examples": _examples(operation.answer_examples()),
        }
    }
    description = "Done."
    if stream is not None:
        description = stream.description
        content["text/event-stream"] = {
            "schema": _ref("schemas", stream.name),
            "examples": _examples({"stream": stream.example}),
        }
    responses: dict[int, Json] = {
        200: {
            "description": description,
            "headers": _headers([*operation.answer_headers, *_RATE_LIMITS]),
            "content": content,
        }
    }
    kinds: dict[int, list[ErrorKind]] = {}
    for kind in ERROR_TABLE:
        if kind.occasion in operation.occasions:
            kinds.setdefault(kind.status, []).append(kind)
    for status in sorted(kinds):
        responses[status] = _error(operation, status, kinds[status])
    return responses


def _error(operation: Operation, status: int, kinds: Sequence[ErrorKind]) -> Json:
    headers = _HEADERS_OF_STATUS.get(status, _RATE_LIMITS)
    # Once the request is understood, so is what it has asked of its answer.
    if any(kind.occasion is Occasion.GENERATION for kind in kinds):
        headers = [*operation.answer_headers, *headers]
    codes = [code for kind in kinds for code in kind.codes]
    types = list(dict.fromkeys(kind.type for kind in kinds))
    return {
        "description": _STATUSES[status],
        "headers": _headers(headers),
        "content": {
            "application/json": {
                "schema": {
                    "allOf": [
                        _ref("schemas", ErrorBody.__name__),
                        {
                            "properties": {
                                "error": {
                                    "properties": {
                                        "type": {"enum": types},
                                        "code": {"enum": codes},
                                    }
                                }
                            }
                        },
                    ]
                },
                "examples": _examples(
                    {
                        str(kind.example.code): Example(
                            kind.when, operation.told(kind.example).body()
                        )
                        for kind in kinds
                    }
                ),
            }
        },
    }


def _union(stream: EventStream) -> Json:
    names = [event.__name__ for event in stream.events]
    return {
        "description": "One event of the stream: the JSON of a line `data:`.",
        "oneOf": [_ref("schemas", name) for name in names],
    }


def _headers(names: Iterable[str]) -> Json:
    return {name: _ref("headers", name) for name in ("x-request-id", *names)}


def _examples(examples: Mapping[str, Example]) -> Json:
    return {
        name: {"summary": example.summary, "value": example.value}
        for name, example in examples.items()
    }


def _ref(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}
