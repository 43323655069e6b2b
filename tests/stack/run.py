"""One run of the whole product: start it, try it, wait until it is to end, end it.

A child is in the pid file, and bound to end with us, from the moment it is
started; that it becomes ready is waited for after.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx

from tests.stack import demo
from tests.stack.gateway import start_gateway
from tests.stack.interruption import INTERRUPTION
from tests.stack.leftovers import RUNNER, PidFile, hold_lock
from tests.stack.ports import choose_ports
from tests.stack.process import OnStart, Process, StartError
from tests.stack.redis import start_redis
from tests.stack.triton import TritonPorts, start_triton


def run(asked_ports: Mapping[str, str], directory: Path) -> None:
    """Start everything, and stay. Raises Interrupted or StartError; nothing runs then."""
    with ExitStack() as running:
        try:
            _run(asked_ports, directory, running)
        except subprocess.CalledProcessError as exc:
            raise StartError(f"{exc.cmd[0]} failed:\n{exc.stderr}") from exc
        finally:
            INTERRUPTION.ignore_from_now_on()


def _run(asked_ports: Mapping[str, str], directory: Path, running: ExitStack) -> None:
    pids = PidFile(directory / "pids")
    if not hold_lock(directory, running) or pids.anything_runs():
        raise StartError("The product is running already. End it with: make stop")
    # Of a run that was killed: addresses of nothing.
    (directory / "env").unlink(missing_ok=True)
    pids.remove()
    ports = choose_ports(asked_ports)
    running.callback(pids.remove)
    running.callback((directory / "env").unlink, missing_ok=True)
    pids.add(RUNNER, os.getpid())
    children: list[Process] = []

    def own(process: Process) -> None:
        running.callback(process.stop)
        pids.add(process.name.removeprefix("The "), process.pid)
        children.append(process)

    def started(name: str, start: Callable[[OnStart], Process]) -> None:
        began_at = time.monotonic()
        print(f"  {name:<10}", end="", flush=True)
        start(own)
        print(f"ready after {time.monotonic() - began_at:.1f} s")

    print("Starting:")
    redis_url = f"redis://127.0.0.1:{ports['redis']}/0"
    triton = f"127.0.0.1:{ports['grpc']}"
    peppers = _kept(directory / "key-peppers", lambda: f"1:{secrets.token_hex(32)}")
    admin_key = _kept(directory / "admin-key", lambda: secrets.token_hex(32))
    started(
        "Redis",
        lambda own: start_redis(ports["redis"], directory / "redis", durable=True, on_start=own),
    )
    started(
        "Triton",
        lambda own: start_triton(
            TritonPorts(grpc=ports["grpc"], http=ports["http"], metrics=ports["metrics"]),
            directory / "triton",
            on_start=own,
        ),
    )
    started(
        "Gateway",
        lambda own: start_gateway(
            ports["gateway"],
            ports["ops"],
            directory,
            redis_url=redis_url,
            workers=triton,
            peppers=peppers,
            # Ctrl-C should not take long on a laptop.
            env={
                "GATEWAY_DRAIN_DELAY_S": "0",
                "GATEWAY_DRAIN_TIMEOUT_S": "10",
                "GATEWAY_ADMIN_PORT": str(ports["admin"]),
                "GATEWAY_ADMIN_KEY": admin_key,
            },
            on_start=own,
        ),
    )
    url = f"http://127.0.0.1:{ports['gateway']}"
    admin_url = f"http://127.0.0.1:{ports['admin']}"
    administration = {"GATEWAY_ADMIN_URL": admin_url, "GATEWAY_ADMIN_KEY": admin_key}
    tenant = demo.tenant(administration, key_file=directory / "api-key")
    _ask(url, tenant.key)
    demo.write_env(
        directory / "env",
        GATEWAY_URL=url,
        GATEWAY_METRICS_URL=f"http://127.0.0.1:{ports['ops']}/metrics",
        GATEWAY_API_KEY=tenant.key,
        GATEWAY_PROJECT_ID=tenant.project_id,
        GATEWAY_KEY_PEPPERS=peppers,
        **administration,
        REDIS_URL=redis_url,
        TRITON_GRPC=triton,
        TRITON_METRICS_URL=f"http://127.0.0.1:{ports['metrics']}/metrics",
    )
    print(demo.instructions(url, admin_url, admin_key, tenant))
    _wait(children)


def _wait(children: list[Process]) -> None:
    while True:
        for child in children:
            if not child.running:
                raise StartError(f"{child.name} has ended unexpectedly.\n{child.log_tail()}")
        time.sleep(0.5)


def _ask(url: str, key: str) -> None:
    """One real request, so that "ready" means ready. Raises StartError."""
    answer = httpx.post(
        f"{url}/v1/responses",
        headers={"authorization": f"Bearer {key}"},
        json={"model": "gpt-oss-120b", "input": "Are you there?"},
        timeout=60,
    )
    if answer.status_code != 200:
        raise StartError(f"The first request was answered {answer.status_code}: {answer.text}")


def _kept(path: Path, made: Callable[[], str]) -> str:
    """A secret that is made once, so that what an earlier run has left goes on working."""
    if not path.exists():
        # Renamed, never half written: an empty one would lock the keys of this run out.
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(f"{made()}\n")
        fresh.rename(path)
    return path.read_text().strip()
