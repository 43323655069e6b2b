"""What the gateway costs, beside the targets: `make bench`.

The whole product runs: authentication, quotas and billing in a real Redis, a real Triton
with the simulator, which gives each stream so many tokens a second. CPU time is the figure,
of the gateway's process alone; `floor` is a process that does nothing but pass messages on
from Triton to clients (floor.py), measured in turns with the gateway. The times to the
first token are wall clock, in turns with the same request sent to Triton directly.

    make bench                              some minutes
    make bench BENCH='--only token --rounds 5'

Ends with exit code 1 if a target is missed. The lag of the event loop, hostile requests and
Redis have benchmarks of their own: `make bench-lag bench-memory bench-store`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

from bench.command import about, at_least_one, positive, run_command
from bench.gateway.figures import Figure, table
from bench.gateway.prefixes import multi_turn
from bench.gateway.requests import first_token, plain, quiet, two_processes
from bench.gateway.stand import Stand
from bench.gateway.streams import chunk, memory, token, unread
from tests.stack.gateway import gateway_python

MEASUREMENTS: dict[str, Callable[[Stand], Awaitable[list[Figure]]]] = {
    "memory": memory,  # first: what others leave in caches is not a stream's
    "chunk": chunk,
    "token": token,
    "unread": unread,
    "plain": plain,
    "first-token": first_token,
    "multi-turn": multi_turn,
    "two-processes": two_processes,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.gateway",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, default=list(MEASUREMENTS))
    parser.add_argument(
        "--rounds", type=at_least_one, default=3, help="of what is repeated: the median (3)"
    )
    parser.add_argument("--seconds", type=positive, default=6, help="of each round")
    arguments = parser.parse_args()

    figures: list[Figure] = []
    with ExitStack() as running:
        directory = Path(running.enter_context(tempfile.TemporaryDirectory()))
        stand = running.enter_context(
            Stand.running(directory, rounds=arguments.rounds, seconds=arguments.seconds)
        )
        for name in arguments.only:
            print(f"measuring: {name}", file=sys.stderr, flush=True)
            asyncio.run(quiet(stand))  # what the last one left is not this one's
            figures += asyncio.run(_awaited(MEASUREMENTS[name](stand)))
    print(
        f"{about(gateway_python())}; rounds: {arguments.rounds}, of {arguments.seconds:g} s\n\n"
        f"{table(figures)}"
    )
    return 0 if all(figure.held for figure in figures) else 1


async def _awaited(measuring: Awaitable[list[Figure]]) -> list[Figure]:
    return await measuring


if __name__ == "__main__":
    run_command(main)
