"""Rate-limit headers for answers that reserved nothing: errors, lists, counts.

Asking for them is also how such a request finds out that its key was revoked a moment ago:
the same round trip compares the version under which its caller was authenticated.
"""

from __future__ import annotations

from typing import Protocol

from gateway.quota.headers import rate_limit_headers
from gateway.quota.reservation import RateLimitState, Stale
from gateway.responses import errors
from gateway.stations import Caller
from gateway.store.errors import StoreUnavailable

# How often one request follows changes of its project's configuration.
MAX_RELOADS = 2


class Ledger(Protocol):
    async def rate_limits_if_current(
        self, project_id: str, *, kid: str, config_version: int
    ) -> RateLimitState | Stale: ...


class RateLimitHeaders:
    """Tells how the quotas of a project and a key stand."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def of(self, caller: Caller) -> dict[str, str]:
        """None when the store does not answer: they are a courtesy.

        Raises ApiError if the caller may no longer ask.
        """
        for _ in range(MAX_RELOADS + 1):
            try:
                state = await self._ledger.rate_limits_if_current(
                    caller.project_id, kid=caller.kid, config_version=caller.config_version
                )
            except StoreUnavailable:
                return {}
            if not isinstance(state, Stale):
                return rate_limit_headers(state)
            # Something of the project has changed since the caller was authenticated: a limit
            # perhaps, or its key was revoked.
            caller = await caller.refreshed()
        raise errors.store_unavailable()  # somebody changes the project all the time
