"""The log's level while the process runs: to look closer for a while, without a restart.

Whoever turns it up forgets to turn it down: it goes back by itself.
"""

from __future__ import annotations

import asyncio
import logging

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
DEFAULT_S = 900.0
MAX_S = 86_400.0

_log = logging.getLogger(__name__)


class LogLevel:
    """Of the root logger, and so of everything that has no level of its own."""

    def __init__(self, usual: str) -> None:
        self._usual = usual
        self._back: asyncio.TimerHandle | None = None

    @property
    def now(self) -> str:
        return logging.getLevelName(logging.getLogger().level)

    @property
    def seconds_left(self) -> float:
        """Until it is the usual one again; 0 if it is."""
        if self._back is None:
            return 0.0
        return max(0.0, self._back.when() - asyncio.get_running_loop().time())

    def set(self, level: str, seconds: float = DEFAULT_S) -> None:
        """*level*, one of LEVELS, for so long. Raises ValueError."""
        level = level.upper()
        if level not in LEVELS:
            raise ValueError(f"level must be one of {', '.join(LEVELS)}")
        if not 0 < seconds <= MAX_S:
            raise ValueError(f"seconds must be above 0, and {MAX_S:.0f} at most")
        if self._back is not None:
            self._back.cancel()
            self._back = None
        self._apply(level)
        if level != self._usual:
            self._back = asyncio.get_running_loop().call_later(seconds, self._go_back)

    def _go_back(self) -> None:
        self._back = None
        self._apply(self._usual)

    def _apply(self, level: str) -> None:
        logging.getLogger().setLevel(level)
        # Whatever the level is: this line explains why there are more of them, or fewer.
        _log.log(max(logging.WARNING, logging.getLogger().level), "the log level is %s", level)
