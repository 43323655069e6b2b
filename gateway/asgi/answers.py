"""Whole answers: JSON, with the headers of a JSON API."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from starlette.responses import Response

from gateway.responses.errors import ApiError


def json_answer(
    content: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(
        orjson.dumps(content),
        status_code=status,
        media_type="application/json",
        headers=dict(headers or {}),
    )


def error_answer(error: ApiError) -> Response:
    return json_answer(error.body(), status=error.status, headers=error.headers)
