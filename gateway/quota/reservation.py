"""What a ledger answers when a request asks for its share of the quotas. Pure.

reserve(...) -> Reservation     admitted; must be settled
              | Refused         a quota is exhausted
              | Stale           the project has changed: reload the grant, ask once more
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.quota.limits import Quota


@dataclass(frozen=True, slots=True)
class RateLimit:
    """One bucket, as rate-limit headers tell it."""

    limit: int  # a minute
    remaining: int  # would be admitted at once
    reset_ms: int  # until the bucket is at rest again


@dataclass(frozen=True, slots=True)
class RateLimitState:
    """Both buckets of a project. None where there is no limit."""

    requests: RateLimit | None
    tokens: RateLimit | None


@dataclass(frozen=True, slots=True)
class Reservation:
    """What is held for one request until it is settled, exactly once."""

    lease_id: str  # the response id
    project_id: str
    kid: str
    input_tokens: int  # reserved
    output_tokens: int  # reserved
    admitted_at_ms: int  # Unix time, by Redis's clock
    day: int  # days since 1970-01-01 UTC; a request belongs to the day it was admitted on
    rate_limits: RateLimitState


@dataclass(frozen=True, slots=True)
class Refused:
    """The quota that refused a request; it has cost the project nothing."""

    quota: Quota
    retry_after_ms: int  # 0 if too large
    too_large: bool  # it costs more than a whole minute's limit: no retry can help
    rate_limits: RateLimitState


@dataclass(frozen=True, slots=True)
class Stale:
    """The grant was compiled under another version of the project's config, or the project is gone."""
