"""Settlements on disk, while Redis cannot take them: what a killed gateway would lose otherwise.

A file of lines, appended and synced, a record each: its CRC-32 in hexadecimal, a
blank, and the settlement as JSON. A line that was being written when the machine
stopped is told by its checksum. Each process has a file of its own, locked while
it lives; a process that starts takes over the files of those that are gone.

Everything here blocks, so it is called in threads.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson

from gateway.quota.reservation import reservation_from_json, reservation_to_json
from gateway.quota.usage import Usage
from gateway.store.settlement import Settlement

_log = logging.getLogger(__name__)

SUFFIX = ".spool"
QUARANTINE = "quarantine.jsonl"


class SpoolFull(Exception):
    """The file would exceed its limit; nothing was written."""


class Spool:
    """This process's file. Raises OSError for whatever the disk refuses."""

    def __init__(self, directory: Path, *, max_bytes: int) -> None:
        """Makes *directory*, and a file in it."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._max_bytes = max_bytes
        self._path = directory / f"{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
        self._file = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self.bytes = 0  # in the file

    def append(self, settlements: Sequence[Settlement]) -> None:
        """Write them, and wait until the disk has them. Raises SpoolFull."""
        lines = b"".join(_line(settlement) for settlement in settlements)
        if self.bytes + len(lines) > self._max_bytes:
            raise SpoolFull(f"{self._path} would exceed {self._max_bytes} bytes")
        _write(self._file, lines)
        self.bytes += len(lines)
        os.fsync(self._file)

    def clear(self) -> None:
        """Nothing in it is needed any more."""
        os.ftruncate(self._file, 0)
        self.bytes = 0

    def adopt(self) -> list[Settlement]:
        """What processes that are gone have left, now in our own file.

        Their files are removed once ours is on the disk: a crash in between leaves
        both, and a settlement may be said twice.
        """
        adopted: list[Settlement] = []
        for path in sorted(self._directory.glob(f"*{SUFFIX}")):
            if path != self._path and (found := self._take_over(path)) is not None:
                adopted += found
        return adopted

    def quarantine(self, settlement: Settlement, why: str) -> None:
        """Keep for an operator what must not be charged blindly."""
        record = {"why": why, **_as_json(settlement)}
        file = os.open(self._directory / QUARANTINE, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        try:
            _write(file, orjson.dumps(record) + b"\n")
            os.fsync(file)
        finally:
            os.close(file)

    def close(self) -> None:
        """Let go of the file; an empty one is removed, another one is for the next process."""
        if self.bytes == 0:
            self._path.unlink(missing_ok=True)
        os.close(self._file)

    def _take_over(self, path: Path) -> list[Settlement] | None:
        """None: its process lives, or another one was first."""
        try:
            file = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not path.exists():
                return None  # somebody took it over between our open and our lock
            found = list(_settlements(path.read_bytes().splitlines(keepends=True), path))
            self.append(found)
            path.unlink()
            return found
        except BlockingIOError:
            return None
        finally:
            os.close(file)


def _settlements(lines: Iterable[bytes], path: Path) -> Iterable[Settlement]:
    for number, line in enumerate(lines, start=1):
        settlement = _settlement(line)
        if settlement is None:
            # The last line, when its writer was killed. In the middle the disk has failed.
            _log.error("%s, line %d is damaged: a settlement is lost", path, number)
        else:
            yield settlement


def _line(settlement: Settlement) -> bytes:
    text = orjson.dumps(_as_json(settlement))
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _settlement(line: bytes) -> Settlement | None:
    checksum, _, text = line.partition(b" ")
    text = text.removesuffix(b"\n")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
        return None
    try:
        kept = orjson.loads(text)
        return Settlement(
            reservation=reservation_from_json(kept["reservation"]),
            usage=Usage(**kept["usage"]),
            status=kept["status"],
            made_at=kept["made_at"],
        )
    except (ValueError, KeyError, TypeError):
        return None  # of a version that wrote something else


def _as_json(settlement: Settlement) -> dict[str, object]:
    return {
        "reservation": reservation_to_json(settlement.reservation),
        "usage": settlement.usage,
        "status": settlement.status,
        "made_at": settlement.made_at,
    }


def _write(file: int, data: bytes) -> None:
    """All of it: write(2) may stop in the middle."""
    while data:
        data = data[os.write(file, data) :]
