"""The requests that are being served, so that none is left behind when the gateway ends.

What a request has used is settled when it ends; so Redis and the settlements
that wait must outlive the last of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio


class RequestsInFlight:
    """All requests of this process."""

    def __init__(self) -> None:
        self._scopes: set[anyio.CancelScope] = set()
        self._none_left = anyio.Event()

    @contextmanager
    def one(self) -> Iterator[anyio.CancelScope]:
        """Around one request, to its last byte. It is served in the scope, which `end_all` cancels."""
        scope = anyio.CancelScope()
        self._scopes.add(scope)
        try:
            yield scope
        finally:
            self._scopes.discard(scope)
            if not self._scopes:
                self._none_left.set()

    async def end_all(self, deadline_s: float) -> None:
        """Cut what is still being served, and wait until it is settled."""
        if not self._scopes:
            return
        self._none_left = anyio.Event()
        for scope in self._scopes:
            scope.cancel()
        with anyio.move_on_after(deadline_s, shield=True):
            await self._none_left.wait()
