"""Rate-limit headers for answers that reserved nothing: errors, lists, counts."""

from __future__ import annotations

from typing import Protocol

from gateway.quota.headers import rate_limit_headers
from gateway.quota.reservation import RateLimitState
from gateway.store.errors import StoreUnavailable


class Ledger(Protocol):
    async def rate_limits(self, project_id: str) -> RateLimitState: ...


class RateLimitHeaders:
    """Tells how a project's quotas stand."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def of(self, project_id: str | None) -> dict[str, str]:
        """None without a project, or when the store does not answer: they are a courtesy."""
        if project_id is None:
            return {}
        try:
            return rate_limit_headers(await self._ledger.rate_limits(project_id))
        except StoreUnavailable:
            return {}
