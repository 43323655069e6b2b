"""What a tenant is told when a request cannot be served.

An `ApiError` is the whole answer: HTTP status, and the four fields of the body.
The messages are sentences that say what to do; they never quote a key, and
never an inner error. `docs/errors.md` lists every code.
"""

from __future__ import annotations

from collections.abc import Mapping

MAX_PARAM_CHARS = 200


class ApiError(Exception):
    """One answer of the API's error table (docs/errors.md)."""

    def __init__(
        self,
        status: int,
        type: str,
        code: str | None,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.code = code
        self.message = message
        # A tenant's own keys may be in it, and those may be megabytes long.
        self.param = None if param is None else shortened(param, MAX_PARAM_CHARS)
        self.headers = dict(headers or {})

    def body(self) -> dict[str, object]:
        """The JSON body: always all four keys."""
        return {"error": self.fields()}

    def fields(self) -> dict[str, object]:
        return {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }


def invalid_request(message: str, *, code: str, param: str | None = None) -> ApiError:
    """400: the request is wrong, and will be wrong again."""
    return ApiError(400, "invalid_request_error", code, message, param=param)


def context_length_exceeded(input_tokens: str, context_tokens: int) -> ApiError:
    return invalid_request(
        f"This model's context holds {context_tokens} tokens, and your input takes {input_tokens}"
        " of them, which leaves no room for an answer. Shorten the input.",
        code="context_length_exceeded",
        param="input",
    )


def missing_key() -> ApiError:
    return _unauthenticated(
        "You did not provide an API key. Send it in the Authorization header:"
        " 'Authorization: Bearer YOUR_KEY'."
    )


def invalid_key() -> ApiError:
    # One sentence for unknown, revoked, expired and mistyped keys: which of
    # them it is would help somebody who guesses.
    return _unauthenticated(
        "Incorrect API key provided. It may be mistyped, expired or revoked;"
        " ask an administrator of your project for a new one."
    )


def _unauthenticated(message: str) -> ApiError:
    return ApiError(
        401,
        "authentication_error",
        "invalid_api_key",
        message,
        headers={"www-authenticate": 'Bearer realm="llm-gateway"'},
    )


def project_forbidden() -> ApiError:
    # The same answer, byte for byte, for a project that does not exist:
    # otherwise a key could be used to find out which projects there are.
    return ApiError(
        403,
        "permission_error",
        "project_forbidden",
        "Your API key may not use this project, or the project does not exist."
        " Leave the project out of the path to use your key's default project.",
    )


def model_forbidden(model: str) -> ApiError:
    return ApiError(
        403,
        "permission_error",
        "model_forbidden",
        f"Your API key may not use the model '{shortened(model)}'."
        " Ask an administrator of your project for access to it.",
        param="model",
    )


def tier_forbidden(tier: str) -> ApiError:
    return ApiError(
        403,
        "permission_error",
        "tier_forbidden",
        f"Your API key may not be served in the tier '{tier}'. Ask for another 'service_tier';"
        " 'auto' takes one that it may use.",
        param="service_tier",
    )


def too_many_wrong_keys(retry_after_s: int = 1) -> ApiError:
    # Not 401: the key may be a good one that this gateway has not seen yet.
    return ApiError(
        429,
        "rate_limit_error",
        "too_many_wrong_keys",
        "Too many requests with wrong API keys have come from your address."
        f" Please try again in {retry_after_s}s.",
        headers={"retry-after": str(retry_after_s)},
    )


def not_found() -> ApiError:
    return ApiError(
        404,
        "invalid_request_error",
        "not_found",
        "There is nothing at this path. Responses are created with POST /v1/responses;"
        " they are not stored, so they can be neither fetched nor deleted.",
    )


def model_not_found(model: str, available: str) -> ApiError:
    return ApiError(
        404,
        "invalid_request_error",
        "model_not_found",
        f"The model '{shortened(model)}' does not exist. Use '{available}'.",
        param="model",
    )


def method_not_allowed(allowed: str) -> ApiError:
    return ApiError(
        405,
        "invalid_request_error",
        "method_not_allowed",
        f"This path does not take that method. Use {allowed}.",
        headers={"allow": allowed},
    )


def request_timeout() -> ApiError:
    return ApiError(
        408,
        "invalid_request_error",
        "request_timeout",
        "The request did not arrive in time. Send it again.",
    )


def body_too_large(limit_bytes: int) -> ApiError:
    return ApiError(
        413,
        "invalid_request_error",
        "request_too_large",
        f"The body of the request is larger than {limit_bytes} bytes. Send less input.",
    )


def too_many_values(limit: int) -> ApiError:
    return ApiError(
        413,
        "invalid_request_error",
        "request_too_large",
        f"The body of the request holds more than {limit} values. Send less input.",
    )


def unsupported_media_type(message: str) -> ApiError:
    return ApiError(415, "invalid_request_error", "unsupported_media_type", message)


def headers_too_large(limit_bytes: int) -> ApiError:
    return ApiError(
        431,
        "invalid_request_error",
        "request_headers_too_large",
        f"The headers of the request are larger than {limit_bytes} bytes. Send fewer or less.",
    )


def invalid_http() -> ApiError:
    return ApiError(
        400,
        "invalid_request_error",
        "invalid_http",
        "This is not a valid HTTP/1.1 request.",
    )


def too_many_bodies(retry_after_s: int = 1) -> ApiError:
    # 429 for the reason of `overloaded`: each repetition brings a large body again.
    return ApiError(
        429,
        "rate_limit_error",
        "gateway_overloaded",
        f"Too many large requests are arriving at once. Please try again in {retry_after_s}s.",
        headers={"retry-after": str(retry_after_s)},
    )


def internal_error() -> ApiError:
    return ApiError(
        500,
        "server_error",
        "internal_error",
        "The gateway failed to serve this request. Try again;"
        " if it persists, report the x-request-id of this answer.",
    )


def engine_failed() -> ApiError:
    return ApiError(
        500,
        "server_error",
        "model_error",
        "The model failed while it answered. Try again.",
    )


def engine_timeout() -> ApiError:
    return ApiError(
        504,
        "server_error",
        "timeout",
        "The model did not answer in time. Try again, with less input or fewer output tokens.",
    )


def no_worker(retry_after_s: int = 5) -> ApiError:
    return ApiError(
        503,
        "server_error",
        "engine_overloaded",
        f"No worker can take this request now. Try again in {retry_after_s}s.",
        headers={"retry-after": str(retry_after_s)},
    )


def overloaded(retry_after_s: int = 1) -> ApiError:
    # 429 rather than 503: Codex turns one 503 into 30 requests, one 429 into 6.
    return ApiError(
        429,
        "rate_limit_error",
        "engine_overloaded",
        f"The model has more work than it can take now. Please try again in {retry_after_s}s.",
        headers={"retry-after": str(retry_after_s)},
    )


def store_unavailable(retry_after_s: int = 1) -> ApiError:
    return ApiError(
        503,
        "server_error",
        "store_unavailable",
        f"Your quota cannot be checked right now. Try again in {retry_after_s}s.",
        headers={"retry-after": str(retry_after_s)},
    )


def identity_provider_unavailable(retry_after_s: int = 5) -> ApiError:
    return ApiError(
        503,
        "server_error",
        "identity_provider_unavailable",
        f"Your token cannot be verified right now. Try again in {retry_after_s}s.",
        headers={"retry-after": str(retry_after_s)},
    )


def shutting_down() -> ApiError:
    return ApiError(
        503,
        "server_error",
        "shutting_down",
        "This gateway is being stopped before it could answer. Try again: another one will.",
        headers={"retry-after": "1", "connection": "close"},
    )


def shortened(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else text[:limit] + "..."
