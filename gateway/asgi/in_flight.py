"""The requests that are being served, so that none is left behind when the gateway ends.

What a request has used is settled when it ends; so Redis and the settlements
that wait must outlive the last of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

# For streams that are cut to tell their clients why; who does not read by then is not told.
LAST_WORDS_S = 1.0


class RequestsInFlight:
    """All requests of this process."""

    def __init__(self) -> None:
        self._scopes: set[anyio.CancelScope] = set()
        self._generations: set[anyio.CancelScope] = set()
        self._none_left = anyio.Event()
        self._ending = False
        self.any_was_cut = False

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

    @contextmanager
    def generation(self) -> Iterator[anyio.CancelScope]:
        """Around a generation, within `one`: it is cancelled first, for its request to say so."""
        with anyio.CancelScope() as scope:
            self._generations.add(scope)
            if self._ending:
                scope.cancel()
            try:
                yield scope
            finally:
                self._generations.discard(scope)

    async def end_all(self, deadline_s: float) -> None:
        """Cut what is still being served, and wait until it is settled."""
        self._ending = True
        if not self._scopes:
            return
        self.any_was_cut = True
        self._none_left = anyio.Event()
        if self._generations:
            for scope in self._generations:
                scope.cancel()
            with anyio.move_on_after(LAST_WORDS_S, shield=True):
                await self._none_left.wait()
        for scope in self._scopes:
            scope.cancel()
        with anyio.move_on_after(deadline_s, shield=True):
            await self._none_left.wait()
