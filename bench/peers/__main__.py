"""Gateways side by side, in one run: `make bench-peers`. See bench/README.md."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from subprocess import SubprocessError
from typing import Any

from httpx import HTTPError

from bench.command import at_least_one, run_command
from bench.peers import scenarios
from bench.peers.gateways import GATEWAYS, Gateway, NotInstalled, Running
from bench.peers.report import Result, record, table
from bench.peers.scenarios import SCENARIOS, Measured, Scenario
from tests.stack.process import StartError

RESULTS = Path("bench/results")
PARTIAL = Path("build/bench")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers",
        description="Measure gateways side by side: CPU time of a request, a delta and a token, memory,"
        " and time to the first delta. About a quarter of an hour.",
    )
    names = [each.name for each in GATEWAYS]
    parser.add_argument(
        "--gateways",
        nargs="+",
        choices=names,
        default=names,
        metavar="NAME",
        help=f"of {', '.join(map(repr, names))}",
    )
    parser.add_argument(
        "--scenarios",
        nargs="+",
        choices=[each.name for each in SCENARIOS],
        metavar="NAME",
        help=f"of {', '.join(each.name for each in SCENARIOS)}",
    )
    parser.add_argument("--rounds", type=at_least_one, default=3, help="medians of so many (3)")
    parser.add_argument(
        "--out", type=Path, help=f"directory ({RESULTS}; {PARTIAL} if it is a part of all)"
    )
    arguments = parser.parse_args()
    is_part = len(arguments.gateways) < len(names) or arguments.scenarios
    out = arguments.out or (PARTIAL if is_part else RESULTS)
    out.mkdir(parents=True, exist_ok=True)
    scenarios.build()
    chosen = [
        each for each in SCENARIOS if not arguments.scenarios or each.name in arguments.scenarios
    ]
    now = datetime.now(UTC)
    about = {
        "at": now.isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "rounds": arguments.rounds,
    }
    stem = out / f"{now:%Y-%m-%d-%H%M}-{os.cpu_count()}-cores"
    results: list[Result] = []
    for gateway in GATEWAYS:
        if gateway.name in arguments.gateways:
            results.append(measure(gateway, chosen, rounds=arguments.rounds))
            # After each: a run that is interrupted has told what it knew.
            _write(stem, results, about)
    print(table(results))
    print(f"written: {stem}.md, {stem}.json", file=sys.stderr)
    return 0


def _write(stem: Path, results: Sequence[Result], about: Mapping[str, Any]) -> None:
    stem.with_suffix(".json").write_text(json.dumps(record(results, about), indent=1) + "\n")
    stem.with_suffix(".md").write_text(
        f"# Gateways side by side\n\n{about['at']}; {about['machine']}; medians of {about['rounds']}."
        f" How to read it: [bench/README.md](../README.md).\n\n{table(results)}\n"
    )


def measure(gateway: Gateway, chosen: Sequence[Scenario], *, rounds: int) -> Result:
    """Raises nothing: what cannot be measured is part of the result."""
    result = Result(gateway.name, gateway.does)
    try:
        result.version = gateway.version()
        with (
            tempfile.TemporaryDirectory() as directory,
            gateway.start(Path(directory)) as running,
        ):
            for scenario in chosen:
                times = 1 if scenario.name == "memory-1000" else rounds
                result.runs[scenario.name] = [_run(running, scenario) for _ in range(times)]
                print(f"{gateway.name}: {scenario.name}", file=sys.stderr, flush=True)
    except (NotInstalled, StartError, RuntimeError, OSError, SubprocessError, HTTPError) as exc:
        result.failure = str(exc).splitlines()[0][:200]
        print(f"{gateway.name}: {exc}", file=sys.stderr)
    return result


def _run(running: Running, scenario: Scenario) -> Measured:
    running.set_pace(scenario)
    scenarios.settle()
    rates: list[float] = []
    probe = threading.Thread(target=_watch_tokens, args=(running, scenario, rates), daemon=True)
    probe.start()
    measured = scenarios.run(
        scenario, running.url, running.body(scenario), running.headers, running.pids
    )
    probe.join()
    if rates and scenario.stream:
        # One message may carry several tokens: the worker knows how many there were.
        measured = replace(measured, deltas=int(rates[0] * measured.seconds))
    return measured


def _watch_tokens(running: Running, scenario: Scenario, rates: list[float]) -> None:
    """Tokens a second in the middle of the run, where the lines of the clients do not tell them."""
    if running.tokens is None:
        return
    time.sleep(scenario.warm_up_s + 0.1 * scenario.seconds)
    before, began = running.tokens(), time.monotonic()
    time.sleep(0.8 * scenario.seconds)
    rates.append((running.tokens() - before) / (time.monotonic() - began))


if __name__ == "__main__":
    run_command(main)
