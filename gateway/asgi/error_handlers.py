"""How errors that reach the edge of an application are told: the same for tenants and operators."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gateway.asgi.answers import error_answer
from gateway.asgi.boundary import telemetry_of
from gateway.responses import errors
from gateway.responses.errors import ApiError
from gateway.store.errors import StoreUnavailable
from gateway.telemetry.request import CLIENT_CLOSED_REQUEST

_log = logging.getLogger(__name__)

Handler = Callable[[Request, Exception], Awaitable[Response]]


def error_handlers(
    told: Handler,
    *,
    not_found: Callable[[], ApiError],
    store_unavailable: Callable[[], ApiError],
) -> Mapping[type[Exception], Handler]:
    """For Starlette. *told* answers an ApiError; the others say which one it is."""

    async def routing_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "")
            return await told(request, errors.method_not_allowed(allowed))
        return await told(request, not_found())

    async def no_store(request: Request, error: Exception) -> Response:
        telemetry = telemetry_of(request.scope)
        _log.warning("request %s refused, no store: %s", telemetry.request_id, error)
        refused = store_unavailable()
        telemetry.error_code = refused.code or refused.type
        return error_answer(refused)

    async def left(request: Request, error: Exception) -> Response:
        return Response(status_code=CLIENT_CLOSED_REQUEST)  # nobody reads it

    async def bug(request: Request, error: Exception) -> Response:
        telemetry_of(request.scope).error_code = "internal_error"
        return error_answer(errors.internal_error())

    return {
        ApiError: told,
        HTTPException: routing_error,
        StoreUnavailable: no_store,
        ClientDisconnect: left,
        # Starlette answers with this and raises the bug again, for the boundary to log.
        Exception: bug,
    }
