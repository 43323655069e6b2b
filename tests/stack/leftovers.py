"""The processes of a run, by pid, so that `make stop` can end one left behind; one run at a time."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

GRACE_S = 30
RUNNER = "runner"


class PidFile:
    """Lines of `pid start-time name`. The start time tells a process from a later one
    that was given its pid."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, name: str, pid: int) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as lines:
            lines.write(f"{pid} {_start_time(pid)} {name}\n")

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)

    def running(self) -> list[tuple[int, str]]:
        """(pid, name) of those that still run, in the order they were started."""
        if not self._path.exists():
            return []
        found = []
        for line in self._path.read_text().splitlines():
            pid, start_time, name = line.split(maxsplit=2)
            if start_time != "?" and _start_time(int(pid)) == start_time:
                found.append((int(pid), name))
        return found

    def anything_runs(self) -> bool:
        return bool(self.running())


def hold_lock(directory: Path, until: ExitStack) -> bool:
    """Be the only run in *directory* for as long as *until*. False: there is another one."""
    directory.mkdir(parents=True, exist_ok=True)
    lock = until.enter_context((directory / "lock").open("w"))
    try:
        # Children do not inherit it: it ends with us, however we end.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def stop_leftovers(directory: Path) -> int:
    """End what runs: the runner first, which ends its children; then what it left."""
    pids = PidFile(directory / "pids")
    found_any = pids.anything_runs()
    for number in (signal.SIGTERM, signal.SIGKILL):
        for only_runner in (True, False):
            # Read again after the runner has ended: its children have ended with it.
            for pid, name in pids.running():
                if only_runner == (name == RUNNER):
                    print(f"Stopping {name} ({pid})")
                    _send(pid, number)
            _wait_until_ended(pids, only_runner=only_runner)
    pids.remove()
    # A run that was killed could not: addresses of nothing, and a key.
    (directory / "env").unlink(missing_ok=True)
    print("Stopped." if found_any else "Nothing is running.")
    return 0


def _wait_until_ended(pids: PidFile, *, only_runner: bool) -> None:
    give_up_at = time.monotonic() + GRACE_S
    while time.monotonic() < give_up_at:
        if not [name for _, name in pids.running() if name == RUNNER or not only_runner]:
            return
        time.sleep(0.1)


def _send(pid: int, number: int) -> None:
    try:
        # Children lead process groups of their own (Triton has stubs in its).
        if number == signal.SIGKILL and os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except ProcessLookupError:
        pass  # it has ended meanwhile


def _start_time(pid: int) -> str:
    """Clock ticks since boot at which the process began; "?" if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "?"
    # After the command's closing bracket, which may itself hold brackets.
    state_and_rest = stat.rpartition(")")[2].split()
    return "?" if state_and_rest[0] == "Z" else state_and_rest[19]
