"""The loads of `bench.fairness` through the whole product: Redis, Triton, gateway, clients.

The simulator keeps a GPU's pace (its steps take --slowdown times as long, for the machine has
to carry the clients as well). Four loads, one after the other; five minutes. What it shows is
work done and goodput: percentiles of a few hundred requests are the luck of a few.

    python -m bench.fairness.product --gateways 2

Ends with exit code 1 if a light project is refused in the flood, if less than 90 % of the
places' work is done in it, or if ten times the load yields less than 90 % of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.command import at_least_one, positive, run_command
from bench.fairness.client import Answer, ask
from bench.fairness.loads import FLOOD, LIGHT_PROJECTS, LIGHT_SHARE
from tests.stack.product import Product, more_gateways, running_product

LEAST_WORK, LEAST_GOODPUT = 0.9, 0.9
_PROMPT_WORDS = 160
_OUTPUT_TOKENS = (80, 160)
# Not counted: until as many answers end as begin. The flood breaks in after the first third.
_WARM_UP_S = 24.0
_FLOOD_AT_S = 8.0


@dataclass
class Load:
    """What came of one load."""

    seconds: float
    answers: dict[str, list[tuple[float, Answer]]] = field(default_factory=dict)  # by project

    def note(self, project: str, at_s: float, answer: Answer) -> None:
        self.answers.setdefault(project, []).append((at_s, answer))

    def counted(
        self, projects: Sequence[str] = (), *, from_s: float = _WARM_UP_S, to_s: float = math.inf
    ) -> list[Answer]:
        """Of requests that ended in this time; without *projects*, of all."""
        return [
            answer
            for project, answers in self.answers.items()
            if not projects or project in projects
            for at_s, answer in answers
            if from_s <= at_s < min(to_s, self.seconds)
        ]

    @property
    def tokens_per_second(self) -> float:
        tokens = sum(answer.output_tokens for answer in self.counted())
        return tokens / (self.seconds - _WARM_UP_S)


@dataclass(frozen=True, slots=True)
class Bench:
    urls: Sequence[str]
    logs: Sequence[Path]
    keys: dict[str, str]  # by project

    def first_tokens_s(self, answers: Sequence[Answer]) -> list[float]:
        """From a request's arrival to its first token: the gateway's own measure, which the
        noise of these clients is not in."""
        wanted = {answer.request_id for answer in answers}
        return [
            line["ttft_ms"] / 1000
            for log in self.logs
            for text in log.read_text().splitlines()
            if text.startswith("{") and '"ttft_ms"' in text
            for line in (json.loads(text),)
            if line["request_id"] in wanted
        ]

    async def one(self, load: Load, began: float, project: str) -> None:
        body = {"input": _input(), "max_output_tokens": 200}
        answer = await ask(random.choice(self.urls), self.keys[project], body)
        load.note(project, time.monotonic() - began, answer)

    async def closed(self, projects: Sequence[str], clients: int, seconds: float) -> Load:
        """*clients* that ask again as soon as they are answered."""
        load, began = Load(seconds), time.monotonic()

        async def client(number: int) -> None:
            while time.monotonic() - began < seconds:
                await self.one(load, began, projects[number % len(projects)])

        async with asyncio.TaskGroup() as tasks:
            for number in range(clients):
                tasks.create_task(client(number))
        return load

    async def open(self, rates: dict[str, float], seconds: float) -> Load:
        """Requests at random, whatever became of those before: *rates* a second by project.

        The flood breaks in on others that are under way.
        """
        load, began = Load(seconds), time.monotonic()

        async def project(name: str, rate: float, tasks: asyncio.TaskGroup) -> None:
            due_s = random.expovariate(rate) + (_FLOOD_AT_S if name == "flood" else 0)
            while due_s < seconds:
                await asyncio.sleep(began + due_s - time.monotonic())
                tasks.create_task(self.one(load, began, name))
                due_s += random.expovariate(rate)

        async with asyncio.TaskGroup() as tasks:
            for name, rate in rates.items():
                tasks.create_task(project(name, rate, tasks))
        return load


def _input() -> str:
    words = " ".join(str(random.randrange(1000)) for _ in range(_PROMPT_WORDS // 2))
    tokens = random.randint(*_OUTPUT_TOKENS)
    return f'SIM: {{"reasoning": "", "repeat": {tokens}}}\n{words}'


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.fairness.product",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seconds", type=positive, default=80, help="of each load, 24 of them to warm up"
    )
    parser.add_argument("--workers", type=at_least_one, default=1)
    parser.add_argument("--gateways", type=at_least_one, default=1)
    parser.add_argument("--places", type=at_least_one, default=64, help="of each worker's batch")
    parser.add_argument("--slowdown", type=positive, default=2.0, help="of the GPU")
    arguments = parser.parse_args()
    worker_env = {
        "WORKER_SIMULATOR_PRESET": "h200-tp1",
        "WORKER_SIMULATOR_SPEED": str(arguments.slowdown),
        "WORKER_SIMULATOR_DIRECTIVES": "1",
        "WORKER_MAX_RUNNING": str(arguments.places),
    }
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        product = stack.enter_context(
            running_product(directory, workers=arguments.workers, worker_env=worker_env)
        )
        directories = [directory / str(n) for n in range(1, arguments.gateways)]
        for each in directories:
            each.mkdir()
        others = stack.enter_context(more_gateways(product, directories))
        bench = Bench(
            [product.url, *others],
            [each / "gateway.log" for each in (directory, *directories)],
            _keys(product),
        )
        return asyncio.run(_measure(bench, arguments.workers * arguments.places, arguments.seconds))


def _keys(product: Product) -> dict[str, str]:
    names = [f"light {n}" for n in range(LIGHT_PROJECTS)] + ["flood"]
    return {name: product.new_project().key for name in names}


async def _measure(bench: Bench, places: int, seconds: float) -> int:
    names = list(bench.keys)
    lights = [name for name in names if name != "flood"]
    print(f"{'':10}{'tok/s':>8}{'first token, ms: p50':>24}{'p99':>8}{'refused':>10}{'of':>8}")

    def tell(name: str, load: Load, answers: Sequence[Answer]) -> float:
        """A line of the table; the 99th percentile of the time to first token."""
        times_s = bench.first_tokens_s(answers)
        p50_s, p99_s = statistics.median(times_s), statistics.quantiles(times_s, n=100)[98]
        refused = sum(answer.status != 200 for answer in answers)
        print(
            f"{name:10}{load.tokens_per_second:>8.0f}{p50_s * 1000:>24.0f}{p99_s * 1000:>8.0f}"
            f"{refused:>10}{len(answers):>8}",
            flush=True,
        )
        return p99_s

    full = await bench.closed(names, places, seconds)
    tell("full", full, full.counted())
    capacity = len(full.counted()) / (seconds - _WARM_UP_S)  # requests a second

    light_rates = dict.fromkeys(lights, LIGHT_SHARE * capacity)
    light = await bench.open(light_rates, seconds)
    without_s = tell("light", light, light.counted(lights))

    flood = await bench.open({**light_rates, "flood": FLOOD * capacity}, seconds)
    with_flood_s = tell("flood", flood, flood.counted(lights))
    tell("  onset", flood, flood.counted(lights, from_s=_FLOOD_AT_S, to_s=_WARM_UP_S))

    overload = await bench.open(dict.fromkeys(names, capacity), seconds)
    tell("overload", overload, overload.counted())

    refused = sum(answer.status != 200 for answer in flood.counted(lights))
    peak = full.tokens_per_second
    checks = [
        (
            f"light projects' p99 to that without: {with_flood_s / without_s:.2f}; refused: {refused}",
            not refused,
        ),
        (
            f"work done in the flood: {flood.tokens_per_second / peak:.0%} of full",
            flood.tokens_per_second >= LEAST_WORK * peak,
        ),
        (
            f"goodput at ten times the load: {overload.tokens_per_second / peak:.0%} of full",
            overload.tokens_per_second >= LEAST_GOODPUT * peak,
        ),
    ]
    for words, holds in checks:
        print(f"{'holds ' if holds else 'MISSED'} {words}")
    return 0 if all(holds for _, holds in checks) else 1


if __name__ == "__main__":
    run_command(main)
