"""REDIS_URL, opened. What is wrong with it is said without quoting it: it holds a password."""

from __future__ import annotations

from urllib.parse import urlsplit

from gateway.store.connection import Store, connect
from gateway.store.errors import StoreUnavailable, store_errors

TIMEOUT_S = 2.0
EXAMPLE = "redis://:<password>@127.0.0.1:6379/0"


def open_store(url: str) -> Store:
    """A client for *url*; nothing is sent yet. Raises ValueError, safe to be shown."""
    try:
        parts = urlsplit(url)
        # Without this, what precedes a stray / or # in a password is the host and the port.
        strayed = "@" in f"{parts.path}{parts.query}{parts.fragment}"
        parts.port  # noqa: B018  reading it checks it
        (parts.hostname or "").encode("idna")
    except ValueError:
        strayed = True
    if strayed:
        raise ValueError(
            f"it should look like {EXAMPLE}; in a password write / # ? @ as %2F %23 %3F %40"
        )
    try:
        store = connect(url, timeout_s=TIMEOUT_S)
        # An option that there is not is noticed only when a connection is made.
        pool = store.connection_pool
        with store_errors():
            pool.connection_class(**pool.connection_kwargs)
    except (TypeError, ValueError, StoreUnavailable):
        # Not `from exc`: the original quotes what it could not read.
        raise ValueError(
            f"it should look like {EXAMPLE}; what follows a ? has to be an option of redis-py"
        ) from None
    return store
