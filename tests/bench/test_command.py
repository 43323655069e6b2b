"""Benchmarks as commands: what they refuse, and how they end."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys

import pytest

from bench.command import about, at_least_one, positive

_COMMAND = """
import time
from bench.command import run_command
from tests.stack.process import StartError

def main():
    {body}

run_command(main)
"""


def _started(body: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _COMMAND.format(body=body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_who_is_told_to_stop_puts_things_in_order_and_says_one_word(number: int) -> None:
    body = """
    try:
        print("measuring", flush=True)
        time.sleep(60)
    finally:
        print("ended what was started")
    """
    with _started(body) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "measuring\n"
        command.send_signal(number)
        out, err = command.communicate(timeout=20)

    assert (out, err) == ("ended what was started\n", "interrupted\n")
    assert command.returncode == 130


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise StartError('Redis: not found')", "Redis: not found\n"),
        ("open('/nowhere/python')", "/nowhere/python: there is no such file or program\n"),
    ],
)
def test_what_is_missing_is_a_sentence(body: str, said: str) -> None:
    with _started(body) as command:
        _, err = command.communicate(timeout=20)
    assert (err, command.returncode) == (said, 2)


def test_a_target_that_is_missed_is_an_exit_code() -> None:
    with _started("return 1") as command:
        command.communicate(timeout=20)
    assert command.returncode == 1


def test_arguments_make_sense() -> None:
    assert at_least_one("3") == 3
    assert positive("0.5") == 0.5
    with pytest.raises(argparse.ArgumentTypeError):
        at_least_one("0")
    for text in ("0", "-1", "nan"):
        with pytest.raises(argparse.ArgumentTypeError):
            positive(text)


def test_a_result_says_what_it_is_of() -> None:
    assert f"Python {sys.version.split()[0]} of {sys.executable}" in about(sys.executable)
    assert "Python  of nowhere" in about("nowhere")
