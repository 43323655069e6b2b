"""`make walk`: random walks of the scripts against the model, on a clock that can be set.

make walk                              100,000 steps
make walk WALK='--steps 20000000'      a night of them
make walk WALK='--seed 7'              the same again
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import anyio

from gateway.store.connection import connect
from tests.stack.process import free_port
from tests.stack.redis import start_redis
from tests.walk.clock import ledger_with_settable_clock
from tests.walk.walk import EPISODE_STEPS, LEASE_MS, Walk


async def walk(redis_url: str, steps: int, seed: int) -> int:
    """The exit code."""
    done: Counter[str] = Counter()
    told_at = began_at = time.monotonic()
    store = connect(redis_url, timeout_s=10)
    async with store:
        ledger = ledger_with_settable_clock(store, LEASE_MS)
        for episode in range(-(-steps // EPISODE_STEPS)):
            # Each with a seed of its own, so that one can be walked again alone.
            own = seed + episode
            taken = Walk(store, ledger, random.Random(own))
            try:
                await taken.run(min(EPISODE_STEPS, steps))
            except AssertionError as exc:
                print(f"\nseed {own}: {exc}\n  again: make walk WALK='--seed {own} --steps 400'")
                return 1
            done.update(taken.steps)
            if time.monotonic() - told_at > 5:
                told_at = time.monotonic()
                print(f"{done.total():>10,} steps", flush=True)
    print(f"{done.total():,} steps in {time.monotonic() - began_at:.0f} s: no difference")
    print(", ".join(f"{name} {number:,}" for name, number in done.most_common()))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.walk",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--steps", type=int, default=100_000, help="(default: 100000)")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        port = free_port()
        with start_redis(port, Path(directory)):
            url = f"redis://127.0.0.1:{port}/0"
            return anyio.run(walk, url, arguments.steps, arguments.seed)


if __name__ == "__main__":
    sys.exit(main())
