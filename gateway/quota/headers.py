"""Rate-limit and retry headers, in the words OpenAI's clients know. Pure."""

from __future__ import annotations

from gateway.quota.limits import BUDGETS
from gateway.quota.reservation import RateLimitState, Refused, Reservation

MAX_OUTPUT_HEADER = "x-gateway-max-output-tokens"


def rate_limit_headers(state: RateLimitState) -> dict[str, str]:
    """x-ratelimit-{limit,remaining,reset}-{requests,tokens}, for the quotas that exist."""
    headers: dict[str, str] = {}
    for unit, bucket in (("requests", state.requests), ("tokens", state.tokens)):
        if bucket is not None:
            headers[f"x-ratelimit-limit-{unit}"] = str(bucket.limit)
            headers[f"x-ratelimit-remaining-{unit}"] = str(bucket.remaining)
            headers[f"x-ratelimit-reset-{unit}"] = duration(bucket.reset_ms)
    return headers


def reservation_headers(reservation: Reservation) -> dict[str, str]:
    """Those of an answer that was admitted; with the maximum, if a budget has cut it."""
    headers = rate_limit_headers(reservation.rate_limits)
    if reservation.cut_by_budget:
        headers[MAX_OUTPUT_HEADER] = str(reservation.max_output_tokens)
    return headers


def refusal_headers(refused: Refused) -> dict[str, str]:
    """What a 429 adds: when to come back, or that it is no use.

    OpenAI's clients obey x-should-retry before retry-after-ms, and that before
    retry-after; one of more than two minutes makes them give up.
    """
    headers = rate_limit_headers(refused.rate_limits)
    if refused.too_large:
        return {**headers, "x-should-retry": "false"}
    headers["retry-after"] = str(max(1, -(-refused.retry_after_ms // 1000)))
    if refused.quota in BUDGETS:
        # The day or the month has to end: nobody should wait for that in a loop.
        headers["x-should-retry"] = "false"
    else:
        headers["retry-after-ms"] = str(refused.retry_after_ms)
    return headers


def duration(milliseconds: int) -> str:
    """A duration as Go prints it: "120ms", "1s", "1.5s", "6m0s", "1h0m0s"."""
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, rest_ms = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest_ms / 1000:.3f}".rstrip("0").rstrip(".")
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
