"""A real redis-server."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.stack.process import OnStart, Process, StartError, accepts_connections


def start_redis(
    port: int, directory: Path, *, durable: bool = False, on_start: OnStart | None = None
) -> Process:
    """Start Redis on the loopback interface and wait until it answers.

    *durable*: keep an append-only file, as a deployment would.

    Raises:
        StartError: there is no redis-server on PATH, or it does not come up.
    """
    server = shutil.which("redis-server")
    if server is None:
        raise StartError(
            "redis-server is not installed. On Debian or Ubuntu: apt-get install redis-server"
        )
    directory.mkdir(parents=True, exist_ok=True)
    process = Process(
        "Redis",
        [
            *(server, "--port", str(port), "--bind", "127.0.0.1", "--dir", directory),
            *("--save", "", "--appendonly", "yes" if durable else "no"),
            *("--maxmemory-policy", "noeviction"),
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
