"""Benchmarks as commands: arguments that make sense, sentences for errors, and no process left behind."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NoReturn

from tests.stack.process import StartError


def at_least_one(text: str) -> int:
    """An argument that counts something."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def positive(text: str) -> float:
    """An argument that measures something."""
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return number


def about(python: str) -> str:
    """What a result is of: commit, time, machine, and the environment that *python* is of."""
    version = _said(python, "-c", "import platform; print(platform.python_version())")
    now = datetime.now(UTC).isoformat(timespec="minutes")
    return f"{commit()}, {now}, {os.cpu_count()} cores, Python {version} of {python}"


def commit() -> str:
    """Of this project, shortened."""
    return _said("git", "rev-parse", "--short", "HEAD") or "no commit"


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return ""


def run_command(main: Callable[[], int | None]) -> NoReturn:
    """Call *main*, and exit with what it returns.

    What it has started has sessions of its own, and is ended by whoever has started it: so to be
    told to stop, by whatever signal, is Ctrl-C.
    """
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        code = main()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    except StartError as exc:
        print(exc, file=sys.stderr)
        code = 2
    except FileNotFoundError as exc:
        print(f"{exc.filename}: there is no such file or program", file=sys.stderr)
        code = 2
    sys.exit(code)
