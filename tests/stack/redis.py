"""Real Redis servers: one, a cluster, or one with its replica and sentinels."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.stack.process import OnStart, Process, StartError, accepts_connections, free_port


def start_redis(
    port: int,
    directory: Path,
    *options: str,
    durable: bool = False,
    on_start: OnStart | None = None,
) -> Process:
    """Start Redis on the loopback interface and wait until it answers.

    *durable*: keep an append-only file, as a deployment would. REDIS_SERVER names another
    program than the one on PATH. *options*: more of redis-server's.

    Raises:
        StartError: there is no redis-server on PATH, or it does not come up.
    """
    server = _server()
    directory.mkdir(parents=True, exist_ok=True)
    process = Process(
        "Redis",
        [
            *(server, "--port", str(port), "--bind", "127.0.0.1", "--dir", directory),
            *("--save", "", "--appendonly", "yes" if durable else "no"),
            *("--maxmemory-policy", "noeviction", *options),
        ],
        log=directory / "redis.log",
        on_start=on_start,
    )
    try:
        process.wait_until(lambda: accepts_connections(port), timeout_s=20)
    except BaseException:
        process.stop()
        raise
    return process


def _server() -> str:
    server = os.environ.get("REDIS_SERVER") or shutil.which("redis-server")
    if server is None:
        raise StartError(
            "redis-server is not installed. On Debian or Ubuntu: apt-get install redis-server"
        )
    return server


@contextmanager
def redis_cluster(directory: Path, *, masters: int = 3) -> Iterator[list[int]]:
    """A cluster of *masters* without replicas; its ports."""
    ports = [free_port() for _ in range(masters)]
    with ExitStack() as running:
        for port in ports:
            running.enter_context(
                start_redis(
                    port,
                    directory / str(port),
                    *("--cluster-enabled", "yes", "--cluster-port", str(free_port())),
                )
            )
        nodes = [f"127.0.0.1:{port}" for port in ports]
        _cli("--cluster", "create", *nodes, "--cluster-yes")
        while not all("cluster_state:ok" in _cli("-p", str(p), "cluster", "info") for p in ports):
            time.sleep(0.1)
        yield ports


@dataclass
class Sentinels:
    """A master, its replica, and who watches over them."""

    service: str
    ports: list[int]
    master: Process

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"redis+sentinel://{hosts}/{self.service}"


@contextmanager
def redis_sentinels(directory: Path) -> Iterator[Sentinels]:
    """Three sentinels, a master and a replica that is up to date."""
    master, replica = free_port(), free_port()
    ports = [free_port() for _ in range(3)]
    fast = ("--repl-diskless-sync-delay", "0")
    with ExitStack() as running:
        first = running.enter_context(start_redis(master, directory / "master", *fast))
        running.enter_context(
            start_redis(
                replica, directory / "replica", *fast, "--replicaof", "127.0.0.1", str(master)
            )
        )
        while "master_link_status:up" not in _cli("-p", str(replica), "info", "replication"):
            time.sleep(0.1)
        for port in ports:
            configuration = directory / f"sentinel-{port}.conf"
            configuration.write_text(
                f"port {port}\nbind 127.0.0.1\n"
                f"sentinel monitor gw 127.0.0.1 {master} 2\n"
                "sentinel down-after-milliseconds gw 500\n"
                "sentinel failover-timeout gw 3000\n"
            )
            process = Process(
                "Sentinel",
                [_server(), str(configuration), "--sentinel"],
                log=directory / f"sentinel-{port}.log",
            )
            running.enter_context(process)
        know_each_other = "num-other-sentinels\n2"
        while not all(
            know_each_other in _cli("-p", str(p), "sentinel", "master", "gw") for p in ports
        ):
            time.sleep(0.1)
        while "num-slaves\n1" not in _cli("-p", str(ports[0]), "sentinel", "master", "gw"):
            time.sleep(0.1)
        yield Sentinels("gw", ports, first)


def _cli(*arguments: str) -> str:
    return subprocess.run(
        ["redis-cli", *arguments], capture_output=True, text=True, check=False, timeout=60
    ).stdout
