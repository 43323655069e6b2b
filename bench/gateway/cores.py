"""Which cores a process may use."""

from __future__ import annotations

import os
from pathlib import Path


def leave_the_first() -> None:
    """This process, and all that it starts, does without the first core. Raises ValueError."""
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) < 2:
        raise ValueError("there is one core only")
    os.sched_setaffinity(0, mine[1:])


def move_to_the_first(pid: int) -> None:
    """All threads of a process, and those they will start, use the first core and no other."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {0})
