"""The application that tenants reach: its routes, and how its errors are told."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway.asgi.account_endpoint import AccountEndpoint
from gateway.asgi.answers import error_answer
from gateway.asgi.boundary import RequestBoundary, caller_known_of, telemetry_of
from gateway.asgi.documentation_endpoint import DocumentationEndpoint
from gateway.asgi.error_handlers import error_handlers
from gateway.asgi.generation_endpoint import GenerationEndpoint
from gateway.asgi.in_flight import RequestsInFlight
from gateway.asgi.input_tokens_endpoint import InputTokensEndpoint
from gateway.asgi.models_endpoint import ModelsEndpoint
from gateway.asgi.rate_limits import RateLimitHeaders
from gateway.openapi.account_operations import LIST_USAGE, RETRIEVE_LIMITS
from gateway.openapi.chat_operation import CREATE_CHAT_COMPLETION
from gateway.openapi.document import PROJECT_PREFIX
from gateway.openapi.input_tokens_operation import COUNT_INPUT_TOKENS
from gateway.openapi.models_operations import LIST_MODELS, RETRIEVE_MODEL
from gateway.openapi.responses_operation import CREATE_RESPONSE
from gateway.responses import errors
from gateway.responses.errors import ApiError
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.traces import Tracing


def tenant_api(
    responses: GenerationEndpoint,
    chat: GenerationEndpoint,
    input_tokens: InputTokensEndpoint,
    models: ModelsEndpoint,
    account: AccountEndpoint,
    rate_limits: RateLimitHeaders,
    in_flight: RequestsInFlight,
    metrics: Metrics,
    tracing: Tracing,
    *,
    version: str,
) -> ASGIApp:
    """Every path exists twice: for the key's default project, and for one in the path."""

    async def told(request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        telemetry = telemetry_of(request.scope)
        telemetry.error_code = error.code or error.type
        # A refusal by a quota brings them itself.
        caller = caller_known_of(request.scope)
        if caller is not None and not any(name.startswith("x-ratelimit") for name in error.headers):
            try:
                error.headers |= await rate_limits.of(caller)
            except ApiError as refused:  # the key was revoked a moment ago: nothing else is told
                error = refused
                telemetry.error_code = error.code or error.type
        return error_answer(error)

    served = (
        (CREATE_RESPONSE, responses),
        (COUNT_INPUT_TOKENS, input_tokens.count),
        (CREATE_CHAT_COMPLETION, chat),
        (LIST_MODELS, models.list),
        (RETRIEVE_MODEL, models.retrieve),
        (RETRIEVE_LIMITS, account.limits),
        (LIST_USAGE, account.usage),
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
        exception_handlers=error_handlers(
            told, not_found=errors.not_found, store_unavailable=errors.store_unavailable
        ),
    )
    # A slash too many is a 404 with our body, not a redirect that loses the POST.
    app.router.redirect_slashes = False
    return RequestBoundary(app, in_flight, metrics, tracing)
