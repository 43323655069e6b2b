"""Rate-limit and retry headers."""

from __future__ import annotations

import pytest

from gateway.quota.headers import duration, rate_limit_headers, refusal_headers
from gateway.quota.reservation import RateLimit, RateLimitState, Refused

NOTHING = RateLimitState(None, None)
STATE = RateLimitState(requests=RateLimit(60, 14, 1000), tokens=RateLimit(1000, 0, 360_000))


def test_both_buckets_are_told() -> None:
    assert rate_limit_headers(STATE) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "14",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "6m0s",
    }


def test_a_quota_that_does_not_exist_has_no_headers() -> None:
    assert rate_limit_headers(RateLimitState(None, None)) == {}


@pytest.mark.parametrize(
    ("retry_after_ms", "seconds"), [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (59_999, "60")]
)
def test_a_refusal_says_when_to_come_back(retry_after_ms: int, seconds: str) -> None:
    refused = Refused("tokens_per_minute", "project", retry_after_ms, False, NOTHING)
    assert refusal_headers(refused) == {
        "retry-after": seconds,
        "retry-after-ms": str(retry_after_ms),
    }


def test_a_request_that_is_too_large_is_not_to_be_retried() -> None:
    refused = Refused("tokens_per_minute", "key", 0, True, NOTHING)
    assert refusal_headers(refused) == {"x-should-retry": "false"}


def test_a_spent_budget_is_not_to_be_retried_before_its_period_ends() -> None:
    refused = Refused("daily_tokens", "project", 3_600_001, False, NOTHING)
    assert refusal_headers(refused) == {"retry-after": "3601", "x-should-retry": "false"}


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0s"),
        (120, "120ms"),
        (1000, "1s"),
        (1500, "1.5s"),
        (59_999, "59.999s"),
        (60_000, "1m0s"),
        (360_000, "6m0s"),
        (3_723_004, "1h2m3.004s"),
    ],
)
def test_durations_are_written_as_go_writes_them(milliseconds: int, text: str) -> None:
    assert duration(milliseconds) == text
