"""Ctrl-C, and polite requests to end, as an exception that cannot lose a child.

The first signal raises Interrupted, wherever the program is; inside `deferred()`
it is raised at the end. Later ones change nothing: they must not stop the stopping.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class Interrupted(BaseException):
    """Ctrl-C, or a polite request to end. No error: `except Exception` lets it pass."""


class Interruption:
    """Whether this program has been asked to end."""

    def __init__(self) -> None:
        self._asked = self._raised = False
        self._deferring = 0

    def listen(self) -> None:
        for number in SIGNALS:
            # Not SIG_IGN after the first: children would inherit it.
            signal.signal(number, self._receive)

    def ignore_from_now_on(self) -> None:
        """The end has begun, for another reason."""
        self._raised = True

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """A child is not started by halves: a signal in between would lose its pid."""
        self._deferring += 1
        try:
            yield
        finally:
            self._deferring -= 1
            self._raise_if_due()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        self._raise_if_due()

    def _raise_if_due(self) -> None:
        if self._asked and not self._raised and not self._deferring:
            self._raised = True
            raise Interrupted


# Signals are the whole process's, so this is too.
INTERRUPTION = Interruption()
