"""Does a flood from one project slow the others, and does overload waste the GPU?

Gateways' schedulers in front of the simulator's batch, in virtual time (virtual_time.py), and
four loads:

    full       ten projects that ask for more than there is: what the worker can do
    light      nine projects that ask for 6 % of that each, at random
    flood      the same, and one project that asks for three times of what there is
    overload   ten projects that ask for all there is each, together ten times of it

Beside them the same loads if gateways held nothing back, and all waited at the worker in the
order of arrival. Onset is the time in which the flood breaks in.

Ends with exit code 1 if in the flood the light projects' 99th percentile of the time to first
token is more than 1.5 times that without, or one of them is refused; if less than 95 % of the
worker's work is done; or if overload yields less than 90 % of it. With less than some hundred
places that is too much to ask: there is more to wait for when one of few answers ends.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from bench.command import at_least_one, positive, run_command
from bench.fairness.loads import FLOOD, LIGHT_PROJECTS, LIGHT_SHARE, OVERLOAD_PROJECTS
from bench.fairness.virtual_time import Outcome, World
from workers.engines.simulator.cost_model import PRESETS

MOST_SLOWDOWN, LEAST_WORK, LEAST_GOODPUT = 1.5, 0.95, 0.9
_FLOOD_AT_S, _ONSET_ENDS_S = 30.0, 60.0
_LIGHTS = [f"light {n}" for n in range(LIGHT_PROJECTS)]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.fairness",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--preset", choices=PRESETS, default="h200-tp1", help="the GPU")
    parser.add_argument("--places", type=at_least_one, default=256, help="WORKER_MAX_RUNNING")
    parser.add_argument("--gateways", type=at_least_one, default=3)
    parser.add_argument(
        "--seconds", type=positive, default=400.0, help="virtual ones, of each load"
    )
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.seconds < 2 * _ONSET_ENDS_S:
        parser.error(f"at least {2 * _ONSET_ENDS_S:g} seconds")

    def run(rates: Mapping[str, float], *, fair: bool = True) -> Outcome:
        world = World(
            PRESETS[arguments.preset],
            places=arguments.places,
            gateways=arguments.gateways,
            fair=fair,
            seed=arguments.seed,
        )
        return world.run(rates, arguments.seconds, flood_at_s=_FLOOD_AT_S)

    return _measure(run, arguments.seconds)


def _measure(run: Callable[..., Outcome], seconds: float) -> int:
    print(f"{'':24}{'tok/s':>8}{'first token, ms: p50':>24}{'p99':>8}{'refused':>9}{'of':>7}")
    window = (_ONSET_ENDS_S, seconds)
    names = [f"project {n}" for n in range(OVERLOAD_PROJECTS)]
    full = run(dict.fromkeys(names, 10.0))
    _tell("full", full, names, *window)
    capacity = full.ended(*window) / (seconds - _ONSET_ENDS_S)  # requests a second
    peak = full.tokens_per_second(*window)

    rates = dict.fromkeys(_LIGHTS, LIGHT_SHARE * capacity)
    without_s, _ = _tell("light", run(rates), _LIGHTS, *window)
    rates["flood"] = FLOOD * capacity
    flood = run(rates)
    with_flood_s, refused = _tell("flood", flood, _LIGHTS, *window)
    _tell("  its onset", flood, _LIGHTS, _FLOOD_AT_S, _ONSET_ENDS_S)
    _tell("  all wait at the worker", run(rates, fair=False), _LIGHTS, *window)
    rates = dict.fromkeys(names, capacity)
    overload = run(rates)
    _tell("overload", overload, names, *window)
    _tell("  all wait at the worker", run(rates, fair=False), names, *window)

    work = flood.tokens_per_second(*window) / peak
    goodput = overload.tokens_per_second(*window) / peak
    checks = (
        (
            f"light projects' p99 with the flood, to that without: {with_flood_s / without_s:.2f}",
            with_flood_s <= MOST_SLOWDOWN * without_s and not refused,
        ),
        (f"work done in the flood: {work:.0%} of full", work >= LEAST_WORK),
        (f"goodput at ten times the load: {goodput:.0%} of full", goodput >= LEAST_GOODPUT),
    )
    for words, holds in checks:
        print(f"{'holds ' if holds else 'MISSED'} {words}")
    return 0 if all(holds for _, holds in checks) else 1


def _tell(
    name: str, outcome: Outcome, projects: Sequence[str], from_s: float, to_s: float
) -> tuple[float, int]:
    """A line of the table. The p99 of the time to first token in seconds, and who was refused."""
    asked = outcome.asked(projects, from_s, to_s)
    times_s = [each.first_token_s for each in asked if each.first_token_s is not None]
    percentile = partial(statistics.quantiles, n=100)
    p50_s, p99_s = (
        (percentile(times_s)[n] for n in (49, 98)) if len(times_s) > 1 else (math.inf,) * 2
    )
    refused = sum(each.refused for each in asked)
    print(
        f"{name:24}{outcome.tokens_per_second(from_s, to_s):>8.0f}{p50_s * 1000:>24.0f}"
        f"{p99_s * 1000:>8.0f}{refused:>9}{len(asked):>7}",
        flush=True,
    )
    return p99_s, refused


if __name__ == "__main__":
    run_command(main)
