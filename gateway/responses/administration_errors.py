"""What an administrator is told when the admin API refuses (docs/errors.md)."""

from __future__ import annotations

from gateway.responses.errors import ApiError, invalid_request, shortened


def invalid_value(param: str, message: str) -> ApiError:
    """400 of the admin API; *message* is what was expected."""
    return invalid_request(f"Invalid '{param}': {message}", code="invalid_value", param=param)


def no_such(what: str, wanted: str, *, param: str | None = None) -> ApiError:
    # Only told to who may see all there is.
    return ApiError(
        404,
        "invalid_request_error",
        "no_such_object",
        f"There is no {what} {shortened(wanted)}.",
        param=param,
    )


def already_exists(what: str, taken: str) -> ApiError:
    return ApiError(
        409,
        "invalid_request_error",
        "already_exists",
        f"There is a {what} {shortened(taken)} already; nothing was changed.",
        param="id",
    )


def managed_object(what: str, object_id: str) -> ApiError:
    return ApiError(
        409,
        "invalid_request_error",
        "managed_object",
        f"The {what} '{shortened(object_id)}' is declared in a file."
        " Change it there, and apply the file with `gwctl apply`.",
    )


def revoked_key(kid: str) -> ApiError:
    return ApiError(
        409,
        "invalid_request_error",
        "revoked_key",
        f"The API key '{kid}' was revoked, and stays so. Create a new one.",
    )


def cannot_declare(reason: str) -> ApiError:
    return ApiError(409, "invalid_request_error", "cannot_declare", reason)


def wrong_pepper(version: int) -> ApiError:
    return ApiError(
        409,
        "invalid_request_error",
        "wrong_pepper",
        f"GATEWAY_KEY_PEPPERS has another pepper {version} than the keys here were made with;"
        " a key made with it would be refused. Use the value that the gateways run with.",
    )


def no_prices() -> ApiError:
    return ApiError(
        404,
        "invalid_request_error",
        "no_prices",
        "This gateway knows no prices: GATEWAY_PRICES_FILE is not set.",
    )


def administration_unavailable(retry_after_s: int = 2) -> ApiError:
    return ApiError(
        503,
        "server_error",
        "store_unavailable",
        "Redis cannot be asked right now, so nothing can be seen or changed."
        f" Whether a change was made is not known: try again in {retry_after_s}s.",
        headers={"retry-after": str(retry_after_s)},
    )


def not_replicated(retry_after_s: int = 2) -> ApiError:
    return ApiError(
        503,
        "server_error",
        "not_replicated",
        "The change was made, but not all replicas of Redis have it: a failover now could undo it."
        " Make it again to be sure.",
        headers={"retry-after": str(retry_after_s)},
    )


def nothing_here() -> ApiError:
    return ApiError(
        404,
        "invalid_request_error",
        "not_found",
        "There is nothing at this path of the admin API. docs/admin-api.md lists all paths.",
    )


def permission_denied() -> ApiError:
    # Of the admin API. The same answer for what does not exist, as above.
    return ApiError(
        403,
        "permission_error",
        "permission_denied",
        "You may not do this here, or there is no such thing."
        " `POST /admin/v1/policies/explain` says which policies speak of it.",
    )
