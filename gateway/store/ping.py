"""Does Redis answer, and take what is written? One that is full, or a replica now, only answers."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.store import keys
from gateway.store.connection import connect
from gateway.store.errors import StoreUnavailable, store_errors

# More than some settlements need: when so much is taken, they are taken too. Or a Redis that is
# nearly full would be away and back again all the time.
_PROBE = b"." * 32 * 1024


class RedisPing:
    """A connection of its own: requests may hold all of the others. A context manager.

    Of a cluster it asks one primary; that another one is away, its projects' calls have to tell.
    """

    def __init__(self, url: str, *, ca_file: Path | None = None) -> None:
        self._store = connect(url, max_connections=1, ca_file=ca_file)

    async def why_not(self) -> str | None:
        """Why it does not, in words; None when it does."""
        try:
            with store_errors():
                await self._store.set(keys.PROBE, _PROBE)
        except StoreUnavailable as exc:
            return f"Redis: {exc}"
        return None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._store.aclose()
