"""What would a GPU do with this load? The simulator's cost model, in virtual time.

Clients of one kind ask again as soon as they are answered; the answer is what one GPU
gives all of them, and how long each of them waits. docs/simulator.md says what the
model knows, and how far it may be trusted.

    python -m bench.capacity --preset h200-tp1 --isl 1024 --osl 1024 --concurrency 64
    python -m bench.capacity --isl 8000 --osl 300 --concurrency 8 32 128
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence

from bench.capacity.virtual_time import closed_loop
from bench.command import at_least_one, run_command
from workers.engines.simulator.cost_model import PRESETS


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.capacity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--preset", choices=PRESETS, default="h200-tp1", help="the GPU")
    parser.add_argument("--isl", type=at_least_one, default=1024, help="input tokens of a request")
    parser.add_argument("--osl", type=at_least_one, default=256, help="output tokens of a request")
    parser.add_argument("--concurrency", type=at_least_one, nargs="+", default=[1, 8, 64, 256])
    parser.add_argument("--max-running", type=at_least_one, default=256, help="WORKER_MAX_RUNNING")
    arguments = parser.parse_args()
    cost = PRESETS[arguments.preset]
    if (arguments.isl + arguments.osl) * 1.2 > cost.kv_tokens:
        parser.error(f"one request needs more than the {cost.kv_tokens} tokens of KV cache")
    print(f"{arguments.preset}, {arguments.isl} tokens in, {arguments.osl} out, one GPU")
    print(
        f"{'clients':>8}{'running':>9}{'tok/s':>9}{'first token p50, p99':>24}"
        f"{'between tokens p50, p99':>26}{'KV used':>9}"
    )
    for concurrency in arguments.concurrency:
        measured = closed_loop(
            cost,
            input_tokens=arguments.isl,
            output_tokens=arguments.osl,
            concurrency=concurrency,
            requests=max(4 * concurrency, 20),
            max_running=arguments.max_running,
        )
        print(
            f"{concurrency:>8}{statistics.mean(measured.running):>9.0f}"
            f"{measured.tokens_per_second:>9.0f}"
            f"{_spread(measured.first_token_s):>24}{_spread(measured.between_tokens_s):>26}"
            f"{measured.kv_used_ratio:>9.0%}"
        )


def _spread(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    p50, p99 = (ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99))
    return f"{p50 * 1e3:.0f}, {p99 * 1e3:.0f} ms"


if __name__ == "__main__":
    run_command(main)
