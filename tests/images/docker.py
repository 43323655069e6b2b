"""Docker: the engine that runs, or one of our own while the tests do; and containers in it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.stack.process import Process

ROOT = Path(__file__).resolve().parents[2]
# As the chart's pods run: Pod Security `restricted`, and a root that cannot be written to.
RESTRICTED = (
    *("--read-only", "--user", "10001:10001", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges", "--tmpfs", "/tmp:exec"),
)


@dataclass(frozen=True, slots=True)
class Docker:
    """An engine that answers."""

    env: Mapping[str, str]

    def __call__(self, *arguments: str | Path) -> str:
        """What `docker` prints. Raises CalledProcessError."""
        done = subprocess.run(
            ["docker", *map(str, arguments)],
            env=dict(self.env),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def build(self, tag: str) -> None:
        subprocess.run(
            [ROOT / "tests" / "images" / "build.sh", ROOT / ".venv" / "bin" / "python", tag],
            env=dict(self.env),
            check=True,
        )

    @contextmanager
    def running(
        self, image: str, *arguments: str, env: Mapping[str, str], options: Sequence[str] = ()
    ) -> Iterator[str]:
        """A container on the network of this machine; its id. Its log is printed if it fails."""
        settings = [part for name, text in env.items() for part in ("--env", f"{name}={text}")]
        flags = ("--detach", "--network", "host", *RESTRICTED, *options)
        container = self("run", *flags, *settings, image, *arguments).strip()
        try:
            yield container
        except BaseException:
            print(self("logs", "--tail", "30", container))
            raise
        finally:
            self("rm", "--force", container)


@contextmanager
def docker_engine(directory: Path) -> Iterator[Docker]:
    """The engine that runs here; else one that is started, as root, and stopped. Else the test is skipped."""
    if shutil.which("docker") is None:
        _miss("there is no Docker: apt-get install docker.io debootstrap")
    running = Docker(os.environ)
    if _answers(running):
        yield running
        return
    if shutil.which("dockerd", path=f"{os.environ['PATH']}:/usr/sbin") is None or os.getuid() != 0:
        _miss("no Docker engine answers, and only root may start one")
    socket = directory / "docker.sock"
    ours = Docker({**os.environ, "DOCKER_HOST": f"unix://{socket}"})
    with Process(
        "Docker",
        [
            *("dockerd", "--bridge=none", "--iptables=false", "-H", f"unix://{socket}"),
            *("--data-root", directory / "data", "--exec-root", directory / "exec"),
            *("--pidfile", directory / "pid"),
        ],
        log=directory / "log",
    ) as engine:
        engine.wait_until(lambda: _answers(ours), timeout_s=60)
        yield ours


def _answers(docker: Docker) -> bool:
    try:
        docker("info")
    except subprocess.CalledProcessError:
        return False
    return True


def _miss(sentence: str) -> None:
    if os.environ.get("REQUIRE_IMAGES") == "1":
        pytest.fail(sentence)
    pytest.skip(sentence)
