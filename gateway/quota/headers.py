"""Rate-limit and retry headers, in the words OpenAI's clients know. Pure."""

from __future__ import annotations

from gateway.quota.reservation import RateLimitState, Refused


def rate_limit_headers(state: RateLimitState) -> dict[str, str]:
    """x-ratelimit-{limit,remaining,reset}-{requests,tokens}, for the quotas that exist."""
    headers: dict[str, str] = {}
    for unit, bucket in (("requests", state.requests), ("tokens", state.tokens)):
        if bucket is not None:
            headers[f"x-ratelimit-limit-{unit}"] = str(bucket.limit)
            headers[f"x-ratelimit-remaining-{unit}"] = str(bucket.remaining)
            headers[f"x-ratelimit-reset-{unit}"] = duration(bucket.reset_ms)
    return headers


def refusal_headers(refused: Refused) -> dict[str, str]:
    """What a 429 adds: when to come back, or that it is no use.

    OpenAI's clients obey retry-after-ms before retry-after, and x-should-retry
    before either.
    """
    headers = rate_limit_headers(refused.rate_limits)
    if refused.too_large:
        headers["x-should-retry"] = "false"
    else:
        headers["retry-after"] = str(max(1, -(-refused.retry_after_ms // 1000)))
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
