"""Take a worker out of service before its Triton gets SIGTERM: refuse new work, wait for the rest.

The kubelet runs this as preStop: drain_worker.py <seconds>. The worker's drain file appears, so
its model refuses new work (other workers take it) and ends what still runs after
WORKER_DRAIN_MS. Triton's metrics tell when nothing runs any more.
"""

from __future__ import annotations

import os
import sys
import time
import urllib.request
from pathlib import Path

# Gateways ask each worker every second or so; until then they may still send work.
LEAST_S = 5.0
POLL_S = 0.5
METRICS = "http://127.0.0.1:8002/metrics"
COUNTED = ("worker_running_requests", "worker_queued_requests")


def main() -> int:
    began_at, most_s = time.monotonic(), float(sys.argv[1])
    metrics = sys.argv[2] if len(sys.argv) > 2 else METRICS
    drain_file = Path(os.environ["WORKER_DRAIN_FILE"])
    drain_file.touch()
    try:
        idle_polls = 0
        while time.monotonic() - began_at < most_s:
            time.sleep(POLL_S)
            count = generations(metrics)
            if count is None:  # nobody is there who could finish anything
                break
            idle_polls = idle_polls + 1 if count == 0 else 0
            if idle_polls >= 2 and time.monotonic() - began_at >= LEAST_S:
                break
    finally:
        # Volumes outlive containers: after a restart of this one it would be drained at once.
        # The model that has seen it stays drained.
        drain_file.unlink(missing_ok=True)
    return 0


def generations(metrics: str) -> int | None:
    """How many run or wait; None if Triton does not answer."""
    try:
        with urllib.request.urlopen(metrics, timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return None
    return int(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(COUNTED)))


if __name__ == "__main__":
    sys.exit(main())
