"""The release gate for billing, through HTTP: `make chaos`.

Three gateways, Redis, and a Triton worker (simulator) are real processes. Twelve
clients stream without end and write down what they get; meanwhile gateways are
killed and frozen, Redis is killed, replaced and robbed of its last second. When all
is quiet the books are read, and held against what the clients have seen:
nobody is charged twice or too much, what came to its end on a gateway that lives is
charged to the token, what a killed one had generated but for a heartbeat's worth,
no lease or reservation is left, and ledger, counters and budgets agree.

    make chaos                                        a quarter of an hour, all scenarios
    .venv/bin/python -m tests.chaos --seconds 3600    hours of it
    .venv/bin/python -m tests.chaos gwkill failover   only these
    .venv/bin/python -m tests.chaos --mutants         does the gate see what is broken?

Ends with exit code 1 if a promise of docs/billing.md was broken; logs are kept then.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.mutants import MUTANTS
from tests.chaos.scenarios import SCENARIOS, run_scenario
from tests.chaos.verdict import Verdict
from tests.stack.process import free_port
from tests.stack.product import FAST_SIMULATOR
from tests.stack.triton import TritonPorts, start_triton

MUTANT_SECONDS = 25.0
COLUMNS = ("requests", "faults", "exact", "left", "orphans", "missing p50/max", "broken promises")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument(
        "--seconds", type=float, help="of harm in each scenario (default: one to five minutes)"
    )
    parser.add_argument("--seed", type=int, default=int(time.time()), help="to repeat a run")
    parser.add_argument("--mutants", action="store_true", help="break the gateway; be caught")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found there")
    arguments = parser.parse_args()
    if unknown := set(arguments.scenarios) - set(MUTANTS if arguments.mutants else SCENARIOS):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    print(f"seed {arguments.seed}", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    ports = TritonPorts(grpc=free_port(), http=free_port(), metrics=free_port())
    with start_triton(ports, directory / "triton", env=FAST_SIMULATOR):
        workers = f"127.0.0.1:{ports.grpc}"
        run = _mutants if arguments.mutants else _gate
        good = run(arguments, directory, workers)
    if good:
        shutil.rmtree(directory)
    else:
        print(f"logs: {directory}")
    return 0 if good else 1


def _gate(arguments: argparse.Namespace, directory: Path, workers: str) -> bool:
    found: dict[str, object] = {}
    good = True
    print(f"{'':<11}" + "".join(f"{column:>17}" for column in COLUMNS))
    for name in arguments.scenarios or SCENARIOS:
        scenario = SCENARIOS[name]
        verdict, faults = run_scenario(
            scenario,
            directory / name,
            workers,
            seconds=arguments.seconds or scenario.seconds,
            seed=arguments.seed,
            progress=lambda text, name=name: _progress(f"{name}: {text}"),  # type: ignore[misc]
        )
        told = {"what": scenario.what, "faults": faults, **verdict.as_json()}
        found[name] = told
        _tell(name, told)
        for violation in verdict.violations[:5]:
            print(f"    {violation}")
        good &= not verdict.violations or not scenario.promised
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2))
    print("every promise was kept" if good else "A PROMISE WAS BROKEN")
    return good


def _mutants(arguments: argparse.Namespace, directory: Path, workers: str) -> bool:
    good = True
    for name in arguments.scenarios or MUTANTS:
        mutant = MUTANTS[name]
        verdict = _run_mutant(name, arguments, directory, workers)
        caught = bool(verdict.violations)
        good &= caught
        print(f"{name:<28}{mutant.scenario:<11}{'caught' if caught else 'NOT CAUGHT'}")
        print(f"    {mutant.what}")
        for violation in verdict.violations[:1]:
            print(f"    {len(verdict.violations)} violations, such as: {violation}"[:200])
    print("every mutant was caught" if good else "A MUTANT WAS NOT CAUGHT")
    return good


def _run_mutant(name: str, arguments: argparse.Namespace, directory: Path, workers: str) -> Verdict:
    verdict, _ = run_scenario(
        SCENARIOS[MUTANTS[name].scenario],
        directory / name,
        workers,
        seconds=arguments.seconds or MUTANT_SECONDS,
        seed=arguments.seed,
        mutant=name,
        progress=lambda text: _progress(f"{name}: {text}"),
    )
    return verdict


def _tell(name: str, told: dict[str, object]) -> None:
    missing = f"{told['orphan_tokens_missing_p50']}/{told['orphan_tokens_missing_max']}"
    violations = told["violations"]
    assert isinstance(violations, list)
    row = (
        *(told[column] for column in ("requests", "faults", "exact", "left", "orphans")),
        *(missing, len(violations)),
    )
    print(f"\r{name:<11}" + "".join(f"{cell!s:>17}" for cell in row), flush=True)


def _progress(text: str) -> None:
    if sys.stdout.isatty():
        print(f"\r{text:<60}", end="", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
