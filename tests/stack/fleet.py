"""Several Tritons, and what may happen to each of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.stack.process import Process, free_port
from tests.stack.triton import TritonPorts, start_triton

_STUB = "triton_python_b"  # as far as the kernel keeps its name


class FleetWorker:
    """One Triton. It keeps its ports whatever happens to it."""

    def __init__(self, directory: Path, env: Mapping[str, str]) -> None:
        self.ports = TritonPorts(grpc=free_port(), http=free_port(), metrics=free_port())
        self._directory = directory
        self._drain_file = directory / "drain"
        self._env = {**env, "WORKER_DRAIN_FILE": str(self._drain_file)}
        self._process: Process | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.ports.grpc}"

    @property
    def metrics_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.metrics}/metrics"

    @property
    def process(self) -> Process:
        assert self._process is not None, "start() it first"
        return self._process

    def start(self) -> None:
        """Start it, or start it again. Returns when its model is ready."""
        self._drain_file.unlink(missing_ok=True)
        self._process = start_triton(self.ports, self._directory, env=self._env)

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """SIGKILL for all of it, as when its node is gone."""
        self.process.kill()

    def kill_stub(self) -> None:
        """SIGKILL for the process that holds the engine; Triton goes on."""
        os.kill(self.stub_pid(), signal.SIGKILL)

    def freeze(self) -> None:
        """All of it stands still, and its connections stay open."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)

    def drain(self) -> None:
        self._drain_file.touch()

    def stub_pid(self) -> int:
        """Raises ProcessLookupError: it has died."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for pid in map(int, children.read_text().split()):
            name, rest = Path(f"/proc/{pid}/stat").read_text().split("(", 1)[1].rsplit(")", 1)
            if name == _STUB and rest.split()[0] != "Z":
                return pid
        raise ProcessLookupError(f"{self.address} has no stub")


class Fleet:
    """So many workers. They start together, and end with the block."""

    def __init__(self, directory: Path, count: int, env: Mapping[str, str]) -> None:
        self.workers = [FleetWorker(directory / f"worker-{each}", env) for each in range(count)]

    @property
    def addresses(self) -> str:
        """`host:port` of each, with commas between."""
        return ",".join(worker.address for worker in self.workers)

    def __enter__(self) -> Self:
        with ThreadPoolExecutor(len(self.workers)) as threads:
            started = [threads.submit(worker.start) for worker in self.workers]
        try:
            for each in started:
                each.result()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        with ThreadPoolExecutor(len(self.workers)) as threads:
            list(threads.map(FleetWorker.stop, self.workers))
