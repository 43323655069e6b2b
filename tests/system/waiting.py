"""Wait for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable

TIMEOUT_S = 20


def wait_until(condition: Callable[[], bool], what: str, *, timeout_s: float = TIMEOUT_S) -> None:
    """Poll *condition* until it is true. Raises AssertionError, saying *what* did not happen."""
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > give_up_at:
            raise AssertionError(f"after {timeout_s} s it was not so that {what}")
        time.sleep(0.02)
