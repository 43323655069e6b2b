"""What must not grow, and what must be gone when all is quiet. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Allocators keep what they once needed, and caches fill: so much of growth is none.
TOLERATED_SHARE, TOLERATED_MB = 0.05, 8.0
TOLERATED_COUNT = 2  # of threads and tasks
TOLERATED_FILES = 16  # the pool of connections to Redis is as large as it ever had to be


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one process that has nothing to do."""

    own_mb: float  # that no file backs
    threads: int
    files: int


@dataclass(frozen=True, slots=True)
class Quiet:
    """What is left when the clients pause and everything has ended."""

    at_s: float
    processes: Mapping[str, Usage]  # by name
    tasks: int  # of the gateway's event loop
    streams: int  # that the gateway or the worker still serve
    leases: int
    shm_regions: int  # in /dev/shm


@dataclass(frozen=True, slots=True)
class Bill:
    """Tokens of responses that came to their end, as their clients heard and as was charged."""

    heard: Mapping[str, int]
    charged: Mapping[str, int]


def leaks(samples: Sequence[Quiet], bill: Bill) -> list[str]:
    """A sentence for everything that is wrong; *samples*: the first one after the warm-up."""
    first, last = samples[0], samples[-1]
    found = []
    for name, before in first.processes.items():
        after = last.processes[name]
        if after.own_mb > before.own_mb * (1 + TOLERATED_SHARE) + TOLERATED_MB:
            found.append(
                f"{name}'s memory grew from {before.own_mb:.0f} to {after.own_mb:.0f} MB"
                f" in {last.at_s - first.at_s:.0f} s"
            )
        for what, count, now, tolerated in (
            ("threads", before.threads, after.threads, TOLERATED_COUNT),
            ("open files", before.files, after.files, TOLERATED_FILES),
        ):
            if now > count + tolerated:
                found.append(f"{name}'s {what} grew from {count} to {now}")
    if last.tasks > first.tasks + TOLERATED_COUNT:
        found.append(f"the gateway's tasks grew from {first.tasks} to {last.tasks}")
    if last.shm_regions > first.shm_regions:
        found.append(f"regions in /dev/shm grew from {first.shm_regions} to {last.shm_regions}")
    for sample in samples:
        for what, count in (("streams", sample.streams), ("leases", sample.leases)):
            if count:
                found.append(f"{count} {what} were left after {sample.at_s:.0f} s")
    if bill.heard != bill.charged:
        found.append(f"clients heard of {dict(bill.heard)}, charged were {dict(bill.charged)}")
    return found
