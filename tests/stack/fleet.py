"""Several Tritons, and what may happen to each of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from tests.stack.process import Process, free_port, living_members
from tests.stack.triton import TritonPorts, default_server_flags, start_triton

_STUB = "triton_python_b"  # as far as the kernel keeps its name


class FleetWorker:
    """One Triton. It keeps its ports whatever happens to it."""

    def __init__(self, directory: Path, env: Mapping[str, str], flags: Sequence[str] = ()) -> None:
        self.ports = TritonPorts(grpc=free_port(), http=free_port(), metrics=free_port())
        self._directory = directory
        self._drain_file = directory / "drain"
        self._env = {**env, "WORKER_DRAIN_FILE": str(self._drain_file)}
        self._flags = flags
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

    def start(self, **env: str) -> None:
        """Start it, or start it again; *env*: other settings, this time.

        Returns when its model is ready.
        """
        self._drain_file.unlink(missing_ok=True)
        flags = [*default_server_flags(self.ports), *self._flags]
        self._process = start_triton(
            self.ports, self._directory, env={**self._env, **env}, server_flags=flags
        )

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
        for pid, name in living_members(self.process.pid):
            if name == _STUB:
                return pid
        raise ProcessLookupError(f"{self.address} has no stub")


@contextmanager
def running_fleet(
    directory: Path, count: int, env: Mapping[str, str], flags: Sequence[str] = ()
) -> Iterator[list[FleetWorker]]:
    """So many workers. They start together, and end with the block."""
    workers = [FleetWorker(directory / f"worker-{each}", env, flags) for each in range(count)]
    with ThreadPoolExecutor(count) as threads:
        started = [threads.submit(FleetWorker.start, worker) for worker in workers]
        try:
            wait(started)  # all of them, or one would be left that is still starting
            for each in started:
                each.result()
            yield workers
        finally:
            list(threads.map(FleetWorker.stop, workers))


def addresses(workers: Sequence[FleetWorker]) -> str:
    """`host:port` of each, with commas between."""
    return ",".join(worker.address for worker in workers)
