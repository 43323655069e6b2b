"""Keys, principals and projects that are refused whatever Redis says, or does not.

For the hour in which a key has leaked and Redis is away: then nothing can be revoked, but a
file can be written (a ConfigMap). One id a line; what follows a # is for people.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Never

import anyio
import anyio.to_thread

_log = logging.getLogger(__name__)

INTERVAL_S = 1.0
MAX_BYTES = 4 * 1024 * 1024


class Denylist:
    """Reads the file again whenever it has changed. The app starts `run()`."""

    def __init__(
        self, path: Path | None, *, on_read: Callable[[int], None] = lambda entries: None
    ) -> None:
        """*on_read* is told how many ids there are. Raises OSError if *path* cannot be read."""
        self._path = path
        self._on_read = on_read
        self._ids: frozenset[str] = frozenset()
        self._read_at: tuple[int, int] | None = None
        if path is not None:
            self._read(path)

    def denies(self, *ids: str | None) -> bool:
        """Whether one of these is in it."""
        return bool(self._ids) and not self._ids.isdisjoint(ids)

    async def run(self) -> Never:
        """Ends only by cancellation."""
        while True:
            await anyio.sleep(INTERVAL_S)
            if self._path is None:
                continue
            try:
                await anyio.to_thread.run_sync(self._read, self._path)
            except OSError as exc:
                # Half written, or taken away: what was denied stays so.
                _log.error("the denylist cannot be read, the last one holds: %s", exc)

    def _read(self, path: Path) -> None:
        status = path.stat()
        stamp = (status.st_mtime_ns, status.st_size)
        if stamp == self._read_at:
            return
        if status.st_size > MAX_BYTES:
            raise OSError(f"{path} is longer than {MAX_BYTES} bytes")
        lines = path.read_text(errors="replace").splitlines()
        ids = frozenset(word for line in lines if (word := line.partition("#")[0].strip()))
        if ids != self._ids or self._read_at is None:
            _log.warning("the denylist has %d ids", len(ids))
        self._ids, self._read_at = ids, stamp
        self._on_read(len(ids))
