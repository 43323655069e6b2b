"""The whole product on this machine: `make run` starts it, `make stop` ends it.

Redis, Triton with the simulator engine, and the gateway, on the loopback
interface only; a demo project and a key; everything under `.run/`.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import httpx

from tests.stack import demo
from tests.stack.gateway import start_gateway
from tests.stack.leftovers import PidFile, stop_leftovers
from tests.stack.process import Process, StartError, accepts_connections, free_port
from tests.stack.redis import start_redis
from tests.stack.triton import TritonPorts, start_triton

RUN = Path(".run")


class Interrupted(Exception):
    """Ctrl-C, or a polite request to end."""


def main() -> int:
    arguments = _parse()
    pids = PidFile(RUN / "pids")
    if arguments.command == "stop":
        return stop_leftovers(pids)
    if pids.anything_runs():
        return _fail("The product is running already. End it with: make stop")
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _interrupt)
    try:
        with ExitStack() as running:
            _run(arguments, running, pids)
    except Interrupted:
        print("\nStopped.")
        return 0
    except StartError as exc:
        return _fail(str(exc))
    return 0


def _run(arguments: argparse.Namespace, running: ExitStack, pids: PidFile) -> None:
    """Start everything, then wait until it is to end. *running* ends what was started."""
    ports = _ports(arguments)
    running.callback(pids.remove)
    running.callback((RUN / "env").unlink, missing_ok=True)
    pids.add("runner", os.getpid())

    def started(name: str, start: Callable[[], Process]) -> Process:
        began_at = time.monotonic()
        print(f"  {name:<10}", end="", flush=True)
        process = start()
        running.callback(process.stop)
        pids.add(name, process.pid)
        print(f"ready after {time.monotonic() - began_at:.1f} s")
        return process

    print("Starting:")
    redis_url = f"redis://127.0.0.1:{ports['redis']}/0"
    children = [
        started("Redis", lambda: start_redis(ports["redis"], RUN / "redis", durable=True)),
        started(
            "Triton",
            lambda: start_triton(
                TritonPorts(grpc=ports["grpc"], http=ports["http"], metrics=ports["metrics"]),
                RUN / "triton",
            ),
        ),
    ]
    triton = f"127.0.0.1:{ports['grpc']}"
    peppers = _peppers()
    children.append(
        started(
            "Gateway",
            lambda: start_gateway(
                ports["gateway"],
                ports["ops"],
                RUN,
                redis_url=redis_url,
                workers=triton,
                peppers=peppers,
                # Ctrl-C should not take long on a laptop.
                env={"GATEWAY_DRAIN_DELAY_S": "0", "GATEWAY_DRAIN_TIMEOUT_S": "10"},
            ),
        )
    )
    url = f"http://127.0.0.1:{ports['gateway']}"
    tenant = demo.tenant(redis_url, peppers, key_file=RUN / "api-key")
    _ask(url, tenant.key)
    demo.write_env(
        RUN / "env",
        GATEWAY_URL=url,
        GATEWAY_METRICS_URL=f"http://127.0.0.1:{ports['ops']}/metrics",
        GATEWAY_API_KEY=tenant.key,
        GATEWAY_PROJECT_ID=tenant.project_id,
        GATEWAY_KEY_PEPPERS=peppers,
        REDIS_URL=redis_url,
        TRITON_GRPC=triton,
    )
    print(demo.instructions(url, tenant))
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


def _ports(arguments: argparse.Namespace) -> dict[str, int]:
    """The port of each server: as asked for, else any. Raises StartError for a taken one."""
    ports: dict[str, int] = {}
    for name in ("gateway", "ops", "redis", "grpc", "http", "metrics"):
        variable, port = _VARIABLES.get(name, ""), getattr(arguments, name, 0)
        if port and accepts_connections(port):
            raise StartError(
                f"Port {port} is taken. Choose another one, for example:"
                f" make run {variable}={free_port()}"
            )
        ports[name] = port or free_port()
    return ports


_VARIABLES = {"gateway": "PORT", "ops": "OPS_PORT", "redis": "REDIS_PORT", "grpc": "TRITON_PORT"}


def _peppers() -> str:
    """What keys are hashed with; kept, so that the keys of an earlier run go on working."""
    path = RUN / "key-peppers"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(f"1:{secrets.token_hex(32)}\n")
    return path.read_text().strip()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.stack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="start everything, and stay until Ctrl-C")
    run.add_argument("--gateway", type=int, default=8080, metavar="PORT")
    run.add_argument("--ops", type=int, default=9100, metavar="PORT", help="probes and metrics")
    run.add_argument("--redis", type=int, default=0, metavar="PORT", help="0 = any free port")
    run.add_argument("--grpc", type=int, default=0, metavar="PORT", help="Triton; 0 = any")
    commands.add_parser("stop", help="end what a run has left behind")
    return parser.parse_args()


def _interrupt(number: int, frame: FrameType | None) -> None:
    # Once is enough: a second Ctrl-C must not stop the stopping.
    for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted


def _fail(sentence: str) -> int:
    print(f"\n{sentence}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as exc:
        sys.exit(_fail(f"{exc.cmd[0]} failed:\n{exc.stderr}"))
