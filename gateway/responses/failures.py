"""From the gateway's own refusals and failures to what a tenant is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import assert_never

from gateway.generation import UpstreamError, UpstreamFailure
from gateway.quota.estimate import USUAL_OUTPUT_TOKENS
from gateway.quota.headers import duration, refusal_headers
from gateway.quota.limits import Quota
from gateway.quota.reservation import Refused
from gateway.responses import errors
from gateway.responses.errors import ApiError

_QUOTA_NAMES: dict[Quota, str] = {
    "requests_per_minute": "requests per minute",
    "tokens_per_minute": "tokens per minute",
    "input_tokens_per_minute": "input tokens per minute",
    "output_tokens_per_minute": "output tokens per minute",
    "concurrent_requests": "concurrent requests",
    "daily_tokens": "tokens per day",
    "monthly_tokens": "tokens per month",
}
_PERIODS: dict[Quota, str] = {"daily_tokens": "day", "monthly_tokens": "month"}

# Nobody knows when a response ends. Clients that are refused together should not
# come back together.
MIN_CONCURRENCY_RETRY_MS, MAX_CONCURRENCY_RETRY_MS = 250, 1000
MAX_JITTER = 0.1


def quota_exceeded(refused: Refused, *, jitter: float) -> ApiError:
    """429. *jitter*: random, from 0 to 1. The words "try again in 1.5s" are read by Codex."""
    bearer = "project" if refused.scope == "project" else "API key"
    quota = _QUOTA_NAMES[refused.quota]
    if refused.quota in _PERIODS:
        return _budget_exceeded(refused, bearer, quota)
    if refused.too_large:
        message = (
            f"Request too large: it needs more than the whole limit of {quota} of your {bearer}."
            f" {USUAL_OUTPUT_TOKENS} output tokens, or what is usual for your project, are assumed"
            " if you do not say how many. Ask for less of either."
        )
    else:
        refused = dataclasses.replace(refused, retry_after_ms=_jittered_ms(refused, jitter))
        message = (
            f"Rate limit reached for {quota} of your {bearer}."
            f" Please try again in {refused.retry_after_ms / 1000:g}s."
        )
    return ApiError(
        429,
        "rate_limit_error",
        "rate_limit_exceeded",
        message,
        headers=refusal_headers(refused),
    )


def _budget_exceeded(refused: Refused, bearer: str, quota: str) -> ApiError:
    if refused.too_large:
        message = (
            f"Your request may need more than the whole budget of {quota} of your {bearer}:"
            " its input and max_output_tokens are reserved together. Ask for less of either."
        )
    else:
        message = (
            f"The budget of {quota} of your {bearer} does not cover this request."
            f" It is renewed in {duration(refused.retry_after_ms)}, when the"
            f" {_PERIODS[refused.quota]} (UTC) is over. A smaller max_output_tokens may fit."
        )
    return ApiError(
        429,
        "insufficient_quota",
        "insufficient_quota",
        message,
        headers=refusal_headers(refused),
    )


def _jittered_ms(refused: Refused, jitter: float) -> int:
    if refused.quota == "concurrent_requests":
        return round(
            MIN_CONCURRENCY_RETRY_MS
            + jitter * (MAX_CONCURRENCY_RETRY_MS - MIN_CONCURRENCY_RETRY_MS)
        )
    return refused.retry_after_ms + int(refused.retry_after_ms * MAX_JITTER * jitter)


def upstream_error(error: UpstreamError, *, schemas: Sequence[str] = ()) -> ApiError:
    """What a tenant may know of a generation that no worker could finish.

    *schemas*: the fields of the request that hold one.
    """
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
            return _constraint_refused(schemas)
        case UpstreamFailure.ENGINE_FAILED:
            return errors.engine_failed()
        case _:
            assert_never(error.failure)


def _constraint_refused(schemas: Sequence[str]) -> ApiError:
    """The gateway has compiled each schema by itself; to follow it is another matter."""
    if len(schemas) == 1:
        return errors.invalid_request(
            f"Invalid schema for '{schemas[0]}': the model cannot follow it. Either nothing satisfies"
            " it, or all that does is too long: look for large values of minLength, minItems or"
            " minProperties.",
            code="invalid_json_schema",
            param=schemas[0],
        )
    return errors.invalid_request(
        "The schemas of 'text.format' and 'tools' cannot be enforced together."
        " Simplify them, or offer fewer tools.",
        code="invalid_json_schema",
    )
