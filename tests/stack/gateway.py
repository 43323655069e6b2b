"""The gateway, as a process of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from tests.stack.process import OnStart, Process


def start_gateway(
    port: int,
    ops_port: int,
    directory: Path,
    *,
    redis_url: str,
    workers: str,
    peppers: str,
    env: Mapping[str, str] | None = None,
    wait: bool = True,
    on_start: OnStart | None = None,
) -> Process:
    """Start the gateway on the loopback interface; unless *wait* is false, wait until it is ready.

    *workers*: `host:port` of each, with commas between. *env*: further settings. GATEWAY_PYTHON
    names another environment than this one: that of a release.

    Raises:
        StartError: it does not become ready.
    """
    process = Process(
        "The gateway",
        [gateway_python(), "-m", "gateway"],
        log=directory / "gateway.log",
        env={
            "GATEWAY_PORT": str(port),
            "GATEWAY_OPS_PORT": str(ops_port),
            "GATEWAY_WORKERS": workers,
            "GATEWAY_KEY_PEPPERS": peppers,
            "REDIS_URL": redis_url,
            **(env or {}),
        },
        on_start=on_start,
    )
    if wait:
        try:
            process.wait_until(lambda: is_ready(ops_port), timeout_s=60)
        except BaseException:
            process.stop()
            raise
    return process


def gateway_python() -> str:
    return os.environ.get("GATEWAY_PYTHON", sys.executable)


def is_ready(ops_port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{ops_port}/readyz", timeout=2).status_code == 200
    except httpx.TransportError:
        return False
