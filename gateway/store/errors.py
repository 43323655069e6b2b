"""What can go wrong with Redis, in one word: translated here, once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from redis.exceptions import RedisError

from gateway.stations import StoreUnavailable

__all__ = ("StoreUnavailable", "ask_twice", "store_errors")

Answer = TypeVar("Answer")


@contextmanager
def store_errors() -> Iterator[None]:
    """Raises StoreUnavailable for whatever redis-py raises inside.

    That includes errors Redis answers with (loading, read-only replica, out of
    memory): for the caller all of them mean "not now".
    """
    try:
        yield
    # OSError: name resolution and TLS failures reach us as they are.
    except (RedisError, OSError) as exc:
        raise StoreUnavailable(f"{type(exc).__name__}: {exc}") from exc


async def ask_twice(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask once more if the first time fails; for what is idempotent. Raises StoreUnavailable.

    One lost reply, or one stall of the event loop, should not cost a tenant a 503.
    """
    try:
        return await ask()
    except StoreUnavailable:
        return await ask()
