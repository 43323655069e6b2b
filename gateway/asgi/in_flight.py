"""The requests that are being served, so that none is left behind when the gateway ends.

What a request has used is settled when it ends; so Redis and the settlements
that wait must outlive the last of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import anyio

# For streams that are cut to tell their clients why; who does not read by then is not told.
LAST_WORDS_S = 1.0


class RequestsInFlight:
    """All requests of this process."""

    def __init__(self) -> None:
        self._scopes: set[anyio.CancelScope] = set()
        self._generations: set[GenerationInFlight] = set()
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

    def generation(self, max_s: float = math.inf) -> GenerationInFlight:
        """Around a generation, within `one`: it is cut first, for its request to say so. It ends
        after *max_s* seconds all the same."""
        generation = GenerationInFlight(max_s, self._generations)
        if self._ending:
            generation.cut()
        return generation

    async def end_all(self, deadline_s: float) -> None:
        """Cut what is still being served, and wait until it is settled."""
        self._ending = True
        if not self._scopes:
            return
        self.any_was_cut = True
        self._none_left = anyio.Event()
        if self._generations:
            for generation in self._generations:
                generation.cut()
            with anyio.move_on_after(LAST_WORDS_S, shield=True):
                await self._none_left.wait()
        for scope in self._scopes:
            scope.cancel()
        with anyio.move_on_after(deadline_s, shield=True):
            await self._none_left.wait()


class GenerationInFlight:
    """Use `RequestsInFlight.generation`. One scope for both reasons to end, as each costs 5 us."""

    def __init__(self, max_s: float, all_of_them: set[GenerationInFlight]) -> None:
        self._scope = anyio.move_on_after(max_s)
        self._all_of_them = all_of_them
        self._was_cut = False

    def cut(self) -> None:
        self._was_cut = True
        self._scope.cancel()

    @property
    def was_cut(self) -> bool:
        """Whether it has ended because the process does, and not by itself or of its age."""
        return self._was_cut and self._scope.cancelled_caught

    def __enter__(self) -> Self:
        self._all_of_them.add(self)
        self._scope.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._all_of_them.discard(self)
        return self._scope.__exit__(kind, error, traceback)
