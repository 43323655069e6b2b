"""`make run` and `make stop`: whatever happens, nothing is left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stack.demo import gwctl
from tests.stack.libpython import LIBRARY
from tests.stack.ports import DEFAULTS, choose_ports
from tests.stack.process import Process, StartError, free_port

ROOT = Path(__file__).resolve().parents[2]
ANY_PORT = dict.fromkeys(DEFAULTS, "0")
START_DEADLINE_S = 60

Stack = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Start what `make run` and `make stop` do; leaves nothing behind."""

    def start(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.stack", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'proto'}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    try:
        yield start
    finally:
        for pid in _running_in(tmp_path):
            os.kill(pid, signal.SIGKILL)


def run(stack: Stack) -> subprocess.Popen[str]:
    return stack("run", *(f"--{name}={port}" for name, port in ANY_PORT.items()))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_start_leaves_no_process(
    stack: Stack, tmp_path: Path, number: signal.Signals
) -> None:
    """A sweep of moments, from before Redis is started until after all is ready."""
    for seconds in (0.1, 0.4, 0.7, 0.9, 1.2, 1.6, 2.2, 3.0, 4.0):
        runner = run(stack)
        # A moment, not a condition: what the runner is doing then is the point.
        time.sleep(seconds)
        os.killpg(runner.pid, number)
        runner.communicate(timeout=60)
        assert _running_in(tmp_path) == {}, f"after {seconds} s"
        assert not (tmp_path / ".run" / "pids").exists()
        assert not (tmp_path / ".run" / "env").exists()


@pytest.mark.timeout(120)
def test_a_run_shows_its_progress_in_a_pipe_and_is_ended_by_make_stop(
    stack: Stack, tmp_path: Path
) -> None:
    runner = run(stack)
    assert runner.stdout is not None
    assert any("Ctrl-C stops everything" in line for line in runner.stdout)
    assert (tmp_path / ".run" / "env").exists()

    told, _ = run(stack).communicate(timeout=60)
    assert told == "\nThe product is running already. End it with: make stop\n"

    told, _ = stack("stop").communicate(timeout=60)
    assert told == f"Stopping runner ({runner.pid})\nStopped.\n"
    assert runner.communicate(timeout=60)[0] == "\nStopped.\n"
    assert runner.returncode == 0
    assert _running_in(tmp_path) == {}


@pytest.mark.timeout(120)
def test_make_stop_ends_what_a_killed_run_has_left(stack: Stack, tmp_path: Path) -> None:
    runner = run(stack)
    assert runner.stdout is not None
    assert any("Ctrl-C stops everything" in line for line in runner.stdout)
    runner.kill()
    runner.communicate()
    assert _running_in(tmp_path) != {}
    assert "Stopping Redis" in stack("stop").communicate(timeout=60)[0]
    assert _running_in(tmp_path) == {}
    assert not (tmp_path / ".run" / "env").exists()
    assert stack("stop").communicate(timeout=60)[0] == "Nothing is running.\n"


@pytest.mark.timeout(120)
def test_of_two_runs_started_at_once_one_starts(stack: Stack) -> None:
    runners = [run(stack), run(stack)]
    give_up_at = time.monotonic() + START_DEADLINE_S
    while all(runner.poll() is None for runner in runners) and time.monotonic() < give_up_at:
        time.sleep(0.05)
    refused, running = sorted(runners, key=lambda runner: runner.poll() is None)
    assert "is running already" in refused.communicate()[0]
    running.send_signal(signal.SIGINT)
    assert running.communicate(timeout=60)[0].endswith("\nStopped.\n")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"gateway": "abc"}, "PORT has to be a port from 1 to 65535"),
        ({"ops": "-1"}, "OPS_PORT has to be a port"),
        ({"redis": "99999"}, "REDIS_PORT has to be a port"),
        ({"gateway": "8123", "ops": "8123"}, "PORT and OPS_PORT are both 8123"),
    ],
)
def test_a_port_that_cannot_be_is_named_as_make_names_it(
    asked: dict[str, str], sentence: str
) -> None:
    with pytest.raises(StartError, match=f"^{sentence}"):
        choose_ports({**ANY_PORT, **asked})


def test_a_port_that_is_taken_is_named_with_a_free_one(redis_port: int) -> None:
    with pytest.raises(StartError, match=rf"^Port {redis_port} is taken.* make run OPS_PORT=\d+$"):
        choose_ports({**ANY_PORT, "ops": str(redis_port)})


def test_a_start_that_fails_does_not_quote_tables(tmp_path: Path) -> None:
    script = "print('+---+'); print('| a |'); print('why')"
    process = Process("Triton", [sys.executable, "-c", script], log=tmp_path / "log")
    process.wait(timeout_s=START_DEADLINE_S)
    assert process.log_tail().splitlines()[1:] == ["  why"]


@pytest.mark.parametrize(
    ("python", "sentence"),
    [
        ("nowhere", "there is no 'nowhere' here"),
        ("3.10", "is Python 3.10"),
        ("3.14", "is Python 3.14"),
    ],
)
def test_a_python_that_does_not_fit_is_refused_in_one_sentence(
    tmp_path: Path, python: str, sentence: str
) -> None:
    program = tmp_path / python
    if python != "nowhere":
        minor = python.split(".")[1]
        program.write_text(
            f'#!/bin/sh\n[ "$1" = -V ] && echo "Python 3.{minor}.0" && exit\n'
            f'exec {sys.executable} -c "import sys; sys.version_info = (3, {minor}, 0); $2"\n'
        )
        program.chmod(0o755)
    done = subprocess.run(
        [ROOT / "tests/stack/prerequisites.sh", program if program.exists() else python],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Python 3.11 to 3.13 is needed")
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_library_that_a_python_brings_is_found(tmp_path: Path) -> None:
    """As pyenv, uv and conda have it: beside the interpreter, unknown to the system."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / LIBRARY).touch()
    script = (
        "import sys, runpy; sys.base_prefix = sys.argv[1]; sys.argv = ['libpython', '--own'];"
        f"runpy.run_path({str(ROOT / 'tests/stack/libpython.py')!r}, run_name='__main__')"
    )
    found = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True
    )
    assert Path(found.stdout.strip()).name == LIBRARY


def test_a_failing_gwctl_says_why() -> None:
    with pytest.raises(StartError, match="gwctl project list failed: gwctl: Redis is not"):
        gwctl({"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}, "project", "list")


def _running_in(directory: Path) -> dict[int, str]:
    """Processes whose working directory is *directory*, but for zombies: pid to command line."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == directory:
                found[int(process.name)] = (process / "cmdline").read_text().replace("\0", " ")
        except OSError:
            pass  # it has ended, or is somebody else's
    return found
