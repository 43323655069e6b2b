"""From the gateway's own refusals and failures to what a tenant is told."""

from __future__ import annotations

from typing import assert_never

from gateway.generation import UpstreamError, UpstreamFailure
from gateway.quota.estimate import UNSTATED_OUTPUT_TOKENS
from gateway.quota.headers import refusal_headers
from gateway.quota.reservation import Refused
from gateway.responses import errors
from gateway.responses.errors import ApiError

_QUOTA_NAMES = {
    "requests_per_minute": "requests per minute",
    "tokens_per_minute": "tokens per minute",
    "concurrent_requests": "concurrent requests",
}


def quota_exceeded(refused: Refused) -> ApiError:
    """429. The words "try again in 1.5s" are read by Codex."""
    quota = _QUOTA_NAMES[refused.quota]
    if refused.too_large:
        bucket = refused.rate_limits.tokens
        assert bucket is not None  # only tokens can be too many at once
        message = (
            "Request too large: input and output together need more than your project's whole"
            f" limit of {bucket.limit} tokens per minute. {UNSTATED_OUTPUT_TOKENS} output tokens"
            " are assumed if you do not say how many. Ask for less of either."
        )
    else:
        message = (
            f"Rate limit reached for {quota} of your project."
            f" Please try again in {refused.retry_after_ms / 1000:g}s."
        )
    return ApiError(
        429,
        "rate_limit_error",
        "rate_limit_exceeded",
        message,
        headers=refusal_headers(refused),
    )


def upstream_error(error: UpstreamError) -> ApiError:
    """What a tenant may know of a generation that no worker could finish."""
    retry_after_s = -(-(error.retry_after_ms or 1000) // 1000)
    match error.failure:
        case UpstreamFailure.NO_WORKER:
            return errors.no_worker()
        case UpstreamFailure.OVERLOADED:
            return errors.overloaded(retry_after_s)
        case UpstreamFailure.TIMEOUT:
            return errors.engine_timeout()
        case UpstreamFailure.CONTEXT_TOO_LONG:
            return errors.invalid_request(
                "Your input is longer than the model's context. Shorten it.",
                code="context_length_exceeded",
                param="input",
            )
        case UpstreamFailure.CONSTRAINT_REFUSED:
            # The gateway has compiled each schema by itself; all of them together are too much.
            return errors.invalid_request(
                "The schemas of 'text.format' and 'tools' cannot be enforced together."
                " Simplify them, or offer fewer tools.",
                code="invalid_json_schema",
            )
        case UpstreamFailure.ENGINE_FAILED:
            return errors.engine_failed()
        case _:
            assert_never(error.failure)
