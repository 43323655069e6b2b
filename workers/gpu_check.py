"""Check on a GPU node what could not be checked without one.

    python -m workers.gpu_check --model /models/gpt-oss-120b --preset h100-tp2

Run it in the worker's image, on a node whose GPUs are free, before the first tenant and
after each new image or driver. It loads the model (3 to 30 minutes), then runs one check
for each line of docs/gpu-checklist.md (some minutes).
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import assert_never

from workers.engines.trtllm.checks import ALL
from workers.engines.trtllm.checks.bench import Bench, Check, Failed, Outcome, Passed, Skipped
from workers.engines.trtllm.configuration import Configuration, read_configuration
from workers.engines.trtllm.llm_api import Library, executor_is_dead, load_library
from workers.engines.trtllm.presets import PRESETS
from workers.settings import SettingsError, read_settings

_CHECK_S = 300.0  # one that takes longer hangs
_ABORT_S = 0.25  # the contract's
_WIDTH = 100

_EPILOG = """\
what it prints
  passed   what we believe is so; on the same line what was found
  failed   it is not: `found` says what is, `means` what to do about it
  skipped  it could not be looked at, and why

exit code
  0  nothing failed      1  something failed      2  the command or a setting is wrong

examples
  python -m workers.gpu_check --list
  python -m workers.gpu_check --model /models/gpt-oss-120b --preset b200-tp1
  python -m workers.gpu_check --model ... --preset h200-tp1 --only resumed-grammar,cache-salt
  WORKER_TRTLLM_OVERLAP_SCHEDULER=0 python -m workers.gpu_check --model ... --preset h100-tp2

WORKER_* variables count as they do for the worker (docs/configuration.md): check with
those that you are going to serve with.
"""


@dataclass(frozen=True, slots=True)
class Result:
    check: Check
    outcome: Outcome


def main(
    arguments: Sequence[str] | None = None,
    *,
    library: Callable[[], Library] = load_library,
    abort_s: float = _ABORT_S,
) -> int:
    """The exit code. *library* is for tests, *abort_s* for slow machines."""
    parsed = _parser().parse_args(arguments)
    if parsed.list:
        for check in ALL:
            print(f"{check.name:<20} {check.believed}")
        return 0
    try:
        checks = _chosen(parsed.only)
        configuration = _configuration(parsed.model, parsed.preset)
    except SettingsError as exc:
        print(f"gpu_check: {exc}", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    print(f"Loading {configuration.model}; with 61 GiB this takes a while.", flush=True)
    bench = Bench(configuration, library, abort_s=abort_s)
    results = asyncio.run(_run(bench, checks))
    failed = [each.check.name for each in results if isinstance(each.outcome, Failed)]
    skipped = sum(isinstance(each.outcome, Skipped) for each in results)
    print(
        f"\n{len(results) - len(failed) - skipped} passed, {len(failed)} failed, {skipped} skipped"
    )
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


async def _run(bench: Bench, checks: Iterable[Check]) -> list[Result]:
    results = []

    def note(check: Check, outcome: Outcome) -> None:
        results.append(Result(check, outcome))
        print(_told(check, outcome), flush=True)

    prevented = await _load(bench)
    for check in checks:
        # Which release it is can be told in any case.
        if check.name == "library-version" and bench.library is not None:
            note(check, await _outcome(bench, check))
        elif check.name == "engine-loads" and prevented is not None:
            note(check, Failed(prevented))
        elif prevented is not None:
            note(check, Skipped("the engine was not loaded"))
        elif check.name not in _KNOW_BETTER and _is_dead(bench):
            note(check, Skipped("the engine is dead since an earlier check"))
        else:
            note(check, await _outcome(bench, check))
    if prevented is None:
        await bench.engine.close()
    return results


_KNOW_BETTER = frozenset({"executor-health", "shutdown"})  # whether it is dead


async def _load(bench: Bench) -> str | None:
    """What prevented it, or None."""
    try:
        await bench.engine.load()
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is the finding
        return f"{type(exc).__name__}: {exc}"
    return None


async def _outcome(bench: Bench, check: Check) -> Outcome:
    try:
        async with asyncio.timeout(_CHECK_S):
            return await check.run(bench)
    except TimeoutError:
        return Failed(f"not done in {_CHECK_S:.0f} s")
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is the finding
        return Failed(f"{type(exc).__name__}: {exc}")


def _is_dead(bench: Bench) -> bool:
    try:
        return executor_is_dead(bench.llm)
    except AttributeError:  # executor-health tells
        return False


def _told(check: Check, outcome: Outcome) -> str:
    match outcome:
        case Passed(found):
            return _line("passed", check, found)
        case Failed(found):
            head = _line("failed", check, check.believed)
            return f"{head}\n{_under('found', found)}\n{_under('means', check.if_not)}"
        case Skipped(why):
            return _line("skipped", check, why)
        case _:
            assert_never(outcome)


def _line(word: str, check: Check, text: str) -> str:
    return f"{word:<8} {check.name:<20} {' '.join(text.split())}".rstrip()


def _under(word: str, text: str) -> str:
    return textwrap.fill(
        " ".join(text.split())[:2000],
        _WIDTH,
        initial_indent=f"         {word}: ",
        subsequent_indent=" " * 16,
        break_long_words=False,
    )


def _chosen(only: str) -> list[Check]:
    names = [name for name in only.split(",") if name]
    if unknown := set(names) - {check.name for check in ALL}:
        raise SettingsError(f"--only: there is no check {min(unknown)!r}; --list tells them")
    return [check for check in ALL if not names or check.name in names]


def _configuration(model: str, preset: str) -> Configuration:
    environment = dict(os.environ)
    if model:
        environment["WORKER_TRTLLM_MODEL"] = model
    if preset:
        environment["WORKER_TRTLLM_PRESET"] = preset
    return read_configuration(environment, read_settings(environment))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m workers.gpu_check",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model",
        default="",
        metavar="DIRECTORY",
        help="the checkpoint openai/gpt-oss-120b; default: WORKER_TRTLLM_MODEL",
    )
    parser.add_argument(
        "--preset",
        default="",
        metavar="NAME",
        help=f"the GPUs: {', '.join(PRESETS)}; default: WORKER_TRTLLM_PRESET",
    )
    parser.add_argument(
        "--only", default="", metavar="NAMES", help="these checks alone, with commas between"
    )
    parser.add_argument("--list", action="store_true", help="tell the checks; needs no GPU")
    return parser


if __name__ == "__main__":
    sys.exit(main())
