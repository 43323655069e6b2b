"""Wait for what a cluster is about to do."""

from __future__ import annotations

import time
from collections.abc import Callable

_INTERVAL_S = 0.5


class Failed(Exception):
    """The cluster did not do what it should have; one sentence, and perhaps a log."""


def wait_until(condition: Callable[[], bool], what: str, *, timeout_s: float) -> None:
    """Raises Failed, saying that it was not so that *what*."""
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > give_up_at:
            raise Failed(f"after {timeout_s:.0f} s it was not so that {what}")
        time.sleep(_INTERVAL_S)
