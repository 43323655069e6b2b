"""What an operation of the API says of itself. Pure data; `document.py` makes OpenAPI of it.

The routes are made of the same objects (`asgi/tenant_api.py`), so no route can
be without its description.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel

from gateway.responses.error_table import Occasion
from gateway.responses.errors import ApiError

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Example:
    summary: str
    value: object  # JSON; for a stream the text that is sent


@dataclass(frozen=True, slots=True)
class RequestBody:
    """What the operation reads."""

    model: type[BaseModel]  # the one that validates
    examples: Mapping[str, Example]


@dataclass(frozen=True, slots=True)
class EventStream:
    """What the operation sends instead of its answer to `"stream": true`."""

    description: str
    name: str  # of the union of the events, among the schemas
    events: tuple[type[BaseModel], ...]
    example: Example


@dataclass(frozen=True, slots=True)
class QueryParameter:
    """One that stands after the `?`."""

    description: str
    schema: Json
    required: bool = False


def _as_it_is(error: ApiError) -> ApiError:
    return error


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    id: str
    tag: str
    method: str
    path: str  # as Starlette writes it, without the project
    summary: str
    description: str
    answer: type[BaseModel]
    # Called when the document is built: examples come out of the code they show.
    answer_examples: Callable[[], Mapping[str, Example]]
    occasions: frozenset[Occasion]  # which errors it has
    request: RequestBody | None = None
    stream: Callable[[], EventStream] | None = None
    path_parameters: Mapping[str, str] = field(default_factory=dict)  # name -> description
    header_parameters: Mapping[str, str] = field(default_factory=dict)
    query_parameters: Mapping[str, QueryParameter] = field(default_factory=dict)
    answer_headers: tuple[str, ...] = ()  # beside the usual; described in document.py
    # An example of an error, with the names that this operation has for its fields.
    told: Callable[[ApiError], ApiError] = _as_it_is
