"""The application that tenants reach: its routes, and how its errors are told."""

from __future__ import annotations

import logging

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway.asgi.answers import error_answer
from gateway.asgi.boundary import RequestBoundary, telemetry_of
from gateway.asgi.documentation_endpoint import DocumentationEndpoint
from gateway.asgi.models_endpoint import ModelsEndpoint
from gateway.asgi.responses_endpoint import ResponsesEndpoint
from gateway.openapi.document import PROJECT_PREFIX
from gateway.openapi.models_operations import LIST_MODELS, RETRIEVE_MODEL
from gateway.openapi.responses_operation import CREATE_RESPONSE
from gateway.responses import errors
from gateway.responses.errors import ApiError
from gateway.store.errors import StoreUnavailable
from gateway.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)


def tenant_api(
    responses: ResponsesEndpoint, models: ModelsEndpoint, metrics: Metrics, *, version: str
) -> ASGIApp:
    """Every path exists twice: for the key's default project, and for one in the path."""
    served = (
        (CREATE_RESPONSE, responses),
        (LIST_MODELS, models.list),
        (RETRIEVE_MODEL, models.retrieve),
    )
    documentation = DocumentationEndpoint([operation for operation, _ in served], version=version)
    routes = [
        Route("/openapi.json", documentation.document),
        Route("/docs", documentation.page),
        *(
            Route(prefix + operation.path, endpoint, methods=[operation.method])
            for prefix in ("", PROJECT_PREFIX)
            for operation, endpoint in served
        ),
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={
            ApiError: _told,
            HTTPException: _routing_error,
            StoreUnavailable: _store_unavailable,
        },
    )
    # A slash too many is a 404 with our body, not a redirect that loses the POST.
    app.router.redirect_slashes = False
    return RequestBoundary(app, metrics)


def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    telemetry_of(request.scope).error_code = error.code or error.type
    return error_answer(error)


def _routing_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        return _told(request, errors.method_not_allowed(allowed))
    return _told(request, errors.not_found())


def _store_unavailable(request: Request, error: Exception) -> Response:
    logger.warning(
        "request %s refused, store unavailable: %s",
        telemetry_of(request.scope).request_id,
        error,
    )
    return _told(request, errors.store_unavailable())
