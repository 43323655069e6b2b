"""Every call to Redis that a request waits for goes through here: bounded, or not made at all."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Never, Protocol

import anyio

from gateway.store.breaker import Breaker
from gateway.store.errors import StoreUnavailable
from gateway.store.patience import Patience

_log = logging.getLogger(__name__)

PROBE_INTERVAL_S = 0.25
PROBE_TIMEOUT_S = 0.2


class Ping(Protocol):
    """On a connection of its own."""

    async def why_not(self) -> str | None: ...


class Guard(Protocol):
    """What calls are made through."""

    @property
    def is_open(self) -> bool: ...

    def call(self, patience_s: float | None = None) -> AbstractContextManager[None]: ...


class Unguarded:
    """For those whose requests may wait."""

    is_open = False

    def call(self, patience_s: float | None = None) -> AbstractContextManager[None]:
        return nullcontext()


class StoreGuard:
    """A breaker, and whoever probes while it is open. The app starts `run()`."""

    def __init__(
        self,
        ping: Ping,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        on_mode: Callable[[int], None] = lambda mode: None,
    ) -> None:
        """*on_mode* is told 0 closed, 1 closing, 2 open, whenever it changes."""
        self._ping = ping
        self._breaker = Breaker(monotonic=monotonic)
        self._on_mode = on_mode
        self._opened = anyio.Event()

    @property
    def is_open(self) -> bool:
        return self._breaker.is_open

    @property
    def open_for_s(self) -> float:
        """How long nobody has asked."""
        return self._breaker.open_for_s

    @contextmanager
    def call(self, patience_s: float | None = None) -> Iterator[None]:
        """Around a call. Raises StoreUnavailable: at once while the breaker is open, and after
        *patience_s* seconds."""
        if self._breaker.is_open:
            raise StoreUnavailable("Redis is away: nobody asks it until it answers again")
        try:
            with nullcontext() if patience_s is None else Patience(patience_s):
                yield
        except StoreUnavailable:
            self._failed()
            raise
        else:
            self._breaker.succeeded()

    def _failed(self) -> None:
        self._breaker.failed()
        if self._breaker.is_open and not self._opened.is_set():
            _log.warning("Redis is away: requests are admitted by what this gateway knows")
            self._on_mode(2)
            self._opened.set()

    async def run(self) -> Never:
        """Probe while it is open. Ends only by cancellation."""
        while True:
            await self._opened.wait()
            while self._breaker.is_open:
                await anyio.sleep(PROBE_INTERVAL_S)
                self._breaker.probed(answered=await self._answers())
                self._on_mode(1 if self._breaker.is_closing else 2 if self.is_open else 0)
            self._opened = anyio.Event()
            _log.warning("Redis answers again")

    async def _answers(self) -> bool:
        try:
            with Patience(PROBE_TIMEOUT_S):
                return await self._ping.why_not() is None
        except StoreUnavailable:
            return False
