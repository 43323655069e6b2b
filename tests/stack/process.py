"""One child process: its log, its readiness, its end.

A child is ended by its pid, and waited for. Its output goes to a file, which is
quoted when it does not come up: a failed start must explain itself.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from tests.stack.interruption import INTERRUPTION

# Called with a child the moment it runs, before it is ready: whoever is to end it hears of it.
OnStart: TypeAlias = "Callable[[Process], None]"


class StartError(Exception):
    """A process did not come up; the text says why, and quotes the end of its log."""


def living_members(group: int) -> list[tuple[int, str]]:
    """Of a process group: pid, and the name as far as the kernel keeps it. Without zombies."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue  # it ended just now
        name, rest = text.split("(", 1)[1].rsplit(")", 1)
        state, _, pgrp = rest.split()[:3]
        if int(pgrp) == group and state != "Z":
            members.append((int(stat.parent.name), name))
    return members


def free_port() -> int:
    """A TCP port of the loopback interface, kept free for a minute for whoever listens on it.

    A connection that has ended waits there (TIME_WAIT): the kernel gives the port to nobody who
    asks for any, a client's end of a connection included, but a server may take it.
    """
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # or the server may not
        sock.bind(("127.0.0.1", 0))
        sock.listen(1)
        port: int = sock.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = sock.accept()
            accepted.close()  # first: its end is the one that waits
        return port


def accepts_connections(port: int) -> bool:
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """A running child, in a process group of its own."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        on_start: OnStart | None = None,
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output, INTERRUPTION.deferred():
            self._popen = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if env is None else {**os.environ, **env},
                cwd=cwd,
                # Ctrl-C in a terminal goes to the foreground group: the parent
                # decides in which order its children end.
                start_new_session=True,
            )
            if on_start is not None:
                on_start(self)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def wait_until(self, ready: Callable[[], bool], *, timeout_s: float) -> None:
        """Poll *ready* until it is true. Raises StartError if the process ends first, or time runs out."""
        give_up_at = time.monotonic() + timeout_s
        while not ready():
            if not self.running:
                raise StartError(
                    f"{self.name} ended with exit code {self._popen.returncode}.\n{self.log_tail()}"
                )
            if time.monotonic() > give_up_at:
                raise StartError(
                    f"{self.name} was not ready after {timeout_s:.0f} s.\n{self.log_tail()}"
                )
            time.sleep(0.05)

    def log_tail(self, lines: int = 20) -> str:
        text = self.log.read_text(errors="replace").splitlines()
        # Triton ends by drawing its settings as a table, which says nothing of why it ends.
        text = [line for line in text if not line.startswith(("|", "+"))]
        return "\n".join([f"The end of {self.log}:", *(f"  {line}" for line in text[-lines:])])

    def send(self, signal_number: int) -> None:
        if self.running:
            self._popen.send_signal(signal_number)

    def wait(self, *, timeout_s: float) -> int:
        """Its exit code. Raises subprocess.TimeoutExpired."""
        return self._popen.wait(timeout_s)

    def stop(self, *, timeout_s: float = 20) -> int:
        """SIGTERM, and SIGKILL for whatever of its group is left. Returns the exit code.

        A Triton that gives up waiting for its stub leaves it behind.
        """
        self.send(signal.SIGTERM)
        try:
            self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pass  # it is killed with the rest
        return self.kill()

    def kill(self) -> int:
        """SIGKILL the process and its children. Returns the exit code."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # all of the group have ended already
        return self._popen.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
