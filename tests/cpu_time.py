"""CPU time of work, without the noise of whoever else is on the machine."""

from __future__ import annotations

import time
from collections.abc import Callable

ROUNDS = 5


def best_cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of the fastest of a few runs of *work*."""
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)
