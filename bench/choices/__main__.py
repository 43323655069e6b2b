"""What was chosen, beside what was not: `make bench-choices`."""

from __future__ import annotations

import argparse
import sys

from bench.choices.libraries import measure_json, measure_redis
from bench.choices.servers import LOADGEN, measure
from bench.command import at_least_one, run_command


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.choices", description=__doc__)
    parser.add_argument(
        "--rounds", type=at_least_one, default=3, help="medians of so many, for servers"
    )
    arguments = parser.parse_args()
    if not LOADGEN.exists():
        print(f"{LOADGEN} is not built: make bench-choices", file=sys.stderr)
        return 1
    for lines in (measure(arguments.rounds), measure_json(), measure_redis()):
        for line in lines:
            print(line, flush=True)
        print()
    return 0


if __name__ == "__main__":
    run_command(main)
