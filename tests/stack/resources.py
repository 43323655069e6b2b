"""What a process takes, as the kernel counts it: CPU time, memory, threads, open files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Resources:
    """Of one process, now."""

    pss_kb: int  # resident, of what is shared its part
    own_kb: int  # of that what no file backs: it depends on nobody who maps the same libraries
    threads: int
    files: int


def resources(pid: int) -> Resources:
    """Raises ProcessLookupError: there is no such process."""
    process = Path(f"/proc/{pid}")
    try:
        rollup = _fields(process / "smaps_rollup")
        return Resources(
            pss_kb=rollup["Pss"],
            own_kb=rollup["Pss_Anon"] + rollup["Pss_Shmem"],
            threads=_fields(process / "status")["Threads"],
            files=len(os.listdir(process / "fd")),
        )
    except FileNotFoundError as exc:
        raise ProcessLookupError(pid) from exc


def cpu_s(pid: int) -> float:
    """User and system time of all threads since its start. Raises ProcessLookupError."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError as exc:
        raise ProcessLookupError(pid) from exc
    # The name may hold blanks and brackets.
    fields = text.rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND


def shared_memory(pids: Iterable[int]) -> set[str]:
    """Names of the regions in /dev/shm that these processes have mapped."""
    return {
        line.split("/dev/shm/", 1)[1]
        for pid in pids
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines()
        if "/dev/shm/" in line
    }


def listener(command: str, port: int) -> int:
    """The pid of what was started as *command* and names *port* in its title."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().decode(errors="replace")
        except OSError:
            continue  # it ended just now
        if command in text and f":{port}" in text:
            return int(path.parent.name)
    raise ProcessLookupError(f"{command} at {port}")


def _fields(path: Path) -> dict[str, int]:
    """Lines of `Name:   123 kB`."""
    found = {}
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if words and words[0].isdigit():
            found[name] = int(words[0])
    return found
