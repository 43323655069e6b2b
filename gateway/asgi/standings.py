"""Limits, and how they stand, in JSON: the same for operators and for tenants."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.quota.limits import MODES, QUOTAS, Limits
from gateway.store.standing import Standing

Json = dict[str, object]


def limits_object(limits: Limits) -> Json:
    return {name: getattr(limits, name) for name in (*QUOTAS, *MODES)}


def limits_changes(limits: Limits, changes: Mapping[str, int | str | None]) -> tuple[Json, Json]:
    """Of those that are named, what they are and what they become. Raises ValueError."""
    before, after = limits_object(limits), limits_object(limits.changed(changes))
    return {name: before[name] for name in changes}, {name: after[name] for name in changes}


def standing_object(limits: Limits, standing: Standing, *, counts_requests: bool = True) -> Json:
    """Limits, and what is used and reserved of those that are counted."""
    return {
        "limits": limits_object(limits),
        "used": {
            "daily_tokens": standing.day_used,
            "monthly_tokens": standing.month_used,
            "concurrent_requests": standing.concurrent_requests if counts_requests else None,
        },
        "reserved": {
            "daily_tokens": standing.day_reserved,
            "monthly_tokens": standing.month_reserved,
        },
    }
