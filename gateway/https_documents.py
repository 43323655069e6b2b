"""Small documents of others, over HTTPS: in time, of bounded length, without redirects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx

TIMEOUT_S = 5.0


@asynccontextmanager
async def fetching(max_bytes: int) -> AsyncIterator[Callable[[str], Awaitable[bytes]]]:
    """A function that gets the document of a URL. It raises OSError."""
    async with httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False) as client:

        async def fetch(url: str) -> bytes:
            body = bytearray()
            try:
                async with client.stream("GET", url) as answer:
                    if answer.status_code != 200:
                        raise OSError(f"status {answer.status_code}")
                    async for piece in answer.aiter_bytes():
                        body += piece
                        if len(body) > max_bytes:
                            raise OSError(f"longer than {max_bytes} bytes")
            # InvalidURL is no HTTPError.
            except (httpx.HTTPError, httpx.InvalidURL) as exc:
                raise OSError(f"{type(exc).__name__}: {exc}") from exc
            return bytes(body)

        yield fetch
