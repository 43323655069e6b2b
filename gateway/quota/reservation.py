"""What a ledger answers when a request asks for its share of the quotas. Pure.

reserve(...) -> Reservation     admitted; must be settled
              | Refused         a quota is exhausted
              | Stale           the project has changed: reload the grant, ask once more
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from gateway.quota.limits import Quota, QuotaScope
from gateway.quota.service_tier import ServiceTier


@dataclass(frozen=True, slots=True)
class RateLimit:
    """One bucket, as rate-limit headers tell it."""

    limit: int  # a minute
    remaining: int  # would be admitted at once
    reset_ms: int  # until the bucket is at rest again


@dataclass(frozen=True, slots=True)
class RateLimitState:
    """The buckets with least left, of project and key. None where there is no limit."""

    requests: RateLimit | None
    tokens: RateLimit | None


@dataclass(frozen=True, slots=True)
class ShadowRefusal:
    """A quota in shadow mode that would have refused a request."""

    scope: QuotaScope
    quota: Quota


@dataclass(frozen=True, slots=True)
class Reservation:
    """What is held for one request until it is settled, exactly once."""

    lease_id: str  # the response id
    project_id: str
    kid: str
    model: str
    input_tokens: int  # reserved, exact
    output_tokens: int  # reserved of the rates: an estimate
    max_output_tokens: int  # what it may generate; less than asked for if a budget cuts it
    admitted_at_ms: int  # Unix time, by Redis's clock
    day: int  # days since 1970-01-01 UTC; a request belongs to the day it was admitted on
    month: int  # YYYYMM, likewise
    rate_limits: RateLimitState
    cut_by_budget: bool = False  # the client has not said a maximum, and gets less than usual
    shadow_refusals: tuple[ShadowRefusal, ...] = ()
    tier: ServiceTier = ServiceTier.DEFAULT
    # How far the project has been served in this tier (scheduling/service.py); None: not known.
    virtual_time: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The quota that refused a request; it has cost nothing."""

    quota: Quota
    scope: QuotaScope
    retry_after_ms: int  # 0 if too large
    too_large: bool  # it costs more than the whole limit: no retry can help
    rate_limits: RateLimitState


@dataclass(frozen=True, slots=True)
class Stale:
    """The grant was compiled under another version of the project's config, or the project is gone."""


def reservation_to_json(reservation: Reservation) -> dict[str, object]:
    """What settling needs of it, for a file. How the buckets stood is of no use any more."""
    kept = asdict(reservation)
    del kept["rate_limits"], kept["cut_by_budget"], kept["shadow_refusals"], kept["virtual_time"]
    return {**kept, "tier": reservation.tier.value}


def reservation_from_json(kept: Mapping[str, object]) -> Reservation:
    """Raises KeyError, TypeError or ValueError for what `reservation_to_json` has not written."""
    text = ("lease_id", "project_id", "kid", "model")
    numbers = (
        *("input_tokens", "output_tokens", "max_output_tokens"),
        *("admitted_at_ms", "day", "month"),
    )
    if not all(isinstance(kept[name], str) for name in text):
        raise TypeError("a name is not text")
    if not all(type(kept[name]) is int for name in numbers):
        raise TypeError("a number is not whole")
    return Reservation(
        **{name: kept[name] for name in (*text, *numbers)},  # type: ignore[arg-type]
        rate_limits=RateLimitState(None, None),
        # Older files do not say it.
        tier=ServiceTier(kept.get("tier", "default")),
    )
