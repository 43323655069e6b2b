"""Lists, a page at a time, as OpenAI's organisation API gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from gateway.asgi import query
from gateway.asgi.answers import json_answer
from gateway.responses.errors import invalid_request

Json = dict[str, object]
Record = TypeVar("Record")

DEFAULT_LIMIT = 20
MAX_LIMIT = 100


def paged(
    request: Request,
    records: Sequence[Record],
    id_of: Callable[[Record], str],
    told: Callable[[Record], Json],
) -> Response:
    """The page of *records* that `limit` and `after` name, as JSON. Raises ApiError: 400."""
    shown, has_more = page_of(request, records, id_of)
    return listed(
        [told(each) for each in shown], ids=[id_of(each) for each in shown], has_more=has_more
    )


def page_of(
    request: Request, records: Sequence[Record], id_of: Callable[[Record], str]
) -> tuple[Sequence[Record], bool]:
    """The records of that page, and whether there are more. Raises ApiError: 400."""
    limit, after = read_page(request)
    first = 0
    if after is not None:
        positions = [n for n, each in enumerate(records) if id_of(each) == after]
        if not positions:
            raise invalid_request(
                "Invalid 'after': it is not in this list.", code="invalid_value", param="after"
            )
        first = positions[0] + 1
    return records[first : first + limit], first + limit < len(records)


def read_page(request: Request) -> tuple[int, str | None]:
    """How many are asked for, and after which id. Raises ApiError: 400."""
    limit = query.integer(
        request.query_params, "limit", default=DEFAULT_LIMIT, lowest=1, highest=MAX_LIMIT
    )
    return limit, request.query_params.get("after")


def listed(data: Sequence[Json], *, ids: Sequence[str], has_more: bool) -> Response:
    return json_answer(
        {
            "object": "list",
            "data": data,
            "first_id": ids[0] if ids else None,
            "last_id": ids[-1] if ids else None,
            "has_more": has_more,
        }
    )
