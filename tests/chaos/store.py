"""Redis, and what can happen to it: killed, cut off, replaced, or its last second lost."""

from __future__ import annotations

import os
import shutil
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis
from redis.exceptions import RedisError

from tests.chaos.link import Link
from tests.stack.process import Process, accepts_connections, free_port
from tests.system.waiting import wait_until

# What a Redis that syncs its file once a second may lose with its machine.
LOST_WITH_THE_MACHINE_S = 1.0
CUT_OFF_S = 0.3
SAMPLE_S = 0.05
DURABLE = ("--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0")


class Store:
    """One master, and a replica if there is to be a failover. A context manager."""

    def __init__(self, directory: Path, link: Link, *, durable: bool, replicated: bool) -> None:
        self._directory = directory
        self._link = link
        self._durable = durable
        self._number = 0
        self._sizes: deque[tuple[float, int]] = deque(maxlen=400)
        self._master_port = free_port()
        self._master_directory, self._master = self._start(self._master_port)
        self._replica = self._start_replica() if replicated else None
        link.target = self._master_port

    def client(self) -> Redis:
        """Of the master that is now. Close it."""
        return Redis(port=self._master_port)

    def sample(self) -> None:
        """Remember how long the append-only file is; call it often."""
        if self._durable:
            file = self._file()
            self._sizes.append((time.monotonic(), file.stat().st_size if file.exists() else 0))

    def kill(self) -> None:
        """SIGKILL, and start again with the same file: what was written to it is there."""
        self._master.kill()
        _, self._master = self._start(self._master_port, self._master_directory)

    def crash(self) -> None:
        """The machine is lost, and with it the last second of the file."""
        self._master.kill()
        before = time.monotonic() - LOST_WITH_THE_MACHINE_S
        kept = [size for at, size in self._sizes if at < before]
        os.truncate(self._file(), kept[-1] if kept else 0)
        self._sizes.clear()
        _, self._master = self._start(self._master_port, self._master_directory)

    def fail_over(self) -> None:
        """The replica is cut off, the master takes writes for a while, dies, and is replaced."""
        assert self._replica is not None
        port, directory, replica = self._replica
        with Redis(port=port) as promoted:
            promoted.execute_command("REPLICAOF", "127.0.0.1", "1")
            time.sleep(CUT_OFF_S)
            self._master.kill()
            promoted.execute_command("REPLICAOF", "NO", "ONE")
        shutil.rmtree(self._master_directory)
        self._master_port, self._master_directory, self._master = port, directory, replica
        self._link.target = port
        self._link.cut()
        self._replica = self._start_replica()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._master.kill()
        if self._replica is not None:
            self._replica[2].kill()

    def _file(self) -> Path:
        return self._master_directory / "appendonlydir" / "appendonly.aof.1.incr.aof"

    def _start_replica(self) -> tuple[int, Path, Process]:
        port = free_port()
        directory, process = self._start(
            port, options=["--replicaof", "127.0.0.1", str(self._master_port)]
        )
        with Redis(port=port) as replica:
            wait_until(
                lambda: replica.info("replication")["master_link_status"] == "up",
                "the replica had caught up",
            )
        return port, directory, process

    def _start(
        self, port: int, directory: Path | None = None, *, options: Sequence[str] = ()
    ) -> tuple[Path, Process]:
        self._number += 1
        directory = directory or self._directory / f"redis{self._number}"
        directory.mkdir(parents=True, exist_ok=True)
        server = shutil.which("redis-server")
        assert server is not None, "apt-get install redis-server"
        process = Process(
            "Redis",
            [
                *(server, "--port", str(port), "--bind", "127.0.0.1", "--dir", directory),
                *("--save", "", "--maxmemory-policy", "noeviction"),
                *("--repl-diskless-sync-delay", "0", *options),
                *(DURABLE if self._durable else ("--appendonly", "no")),
            ],
            log=self._directory / f"redis{self._number}.log",
        )
        process.wait_until(lambda: _answers(port), timeout_s=20)
        return directory, process


def _answers(port: int) -> bool:
    """Not while it loads its file, either."""
    if not accepts_connections(port):
        return False
    try:
        with Redis(port=port) as client:
            return bool(client.ping())
    except RedisError:
        return False
