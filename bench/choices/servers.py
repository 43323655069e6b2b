"""One application on three ASGI servers, each as its makers advise for one process."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LOADGEN = Path("build/bench-peers/loadgen")
SERVERS: dict[str, list[str]] = {
    "uvicorn, uvloop, httptools": [
        *("-m", "uvicorn", "bench.choices.app:app", "--host", "127.0.0.1", "--port", "PORT"),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
    ],
    "granian, uvloop": [
        *("-m", "granian", "--interface", "asgi", "bench.choices.app:app", "--host", "127.0.0.1"),
        *("--port", "PORT", "--loop", "uvloop", "--workers", "1", "--no-log"),
    ],
    "hypercorn, uvloop": [
        *("-m", "hypercorn", "bench.choices.app:app", "--bind", "127.0.0.1:PORT"),
        *("--worker-class", "uvloop", "--log-level", "WARNING"),
    ],
}


def measure(rounds: int) -> Iterator[str]:
    """Lines of a Markdown table."""
    yield "| server | CPU of a chunk, 32 streams, us | hears a client leave after | takes of a client that does not read | memory (PSS) |"
    yield "| --- | --- | --- | --- | --- |"
    for name, command in SERVERS.items():
        with _running(command) as (port, pid):
            chunks = sorted(_cpu_of_a_chunk(port, pid) for _ in range(rounds))
            left_s = _hears_leaving(port)
            taken = _takes_of_a_slow_client(port)
            yield (
                f"| {name} | {chunks[len(chunks) // 2]:.1f} |"
                f" {'never, within 3 s' if left_s is None else f'{left_s * 1000:.0f} ms'} |"
                f" {taken / 2**20:.1f} MiB | {_pss_mb(pid):.0f} MB |"
            )


@contextmanager
def _running(command: list[str]) -> Iterator[tuple[int, int]]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    arguments = [part.replace("PORT", str(port)) for part in command]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, *arguments], stdout=log, stderr=log, start_new_session=True
        )
        try:
            give_up_at = time.monotonic() + 20
            while _told(port) is None:
                if time.monotonic() > give_up_at:
                    raise TimeoutError(f"{command[1]} does not answer")
                time.sleep(0.1)
            yield port, process.pid
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _cpu_of_a_chunk(port: int, pid: int) -> float:
    done = subprocess.run(
        [
            *(str(LOADGEN), "--url", f"http://127.0.0.1:{port}/stream", "--body", "{}"),
            *("-c", "32", "--stream", "--ramp", "1", "--warmup", "3", "--duration", "6"),
            *("--pids", str(pid)),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(json.loads(done.stdout)["cpu_us_per_data_line"])


def _hears_leaving(port: int) -> float | None:
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(b"GET /stream HTTP/1.1\r\nhost: a\r\n\r\n")
    client.recv(4096)
    left_at = time.time()
    client.close()
    give_up_at = time.monotonic() + 3
    while time.monotonic() < give_up_at:
        told = _told(port)
        if told is not None and told["left_at"] >= left_at:
            return float(told["left_at"] - left_at)
        time.sleep(0.05)
    return None


def _takes_of_a_slow_client(port: int) -> int:
    """Bytes that the server took for a client that reads nothing: what grows in memory."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        client.connect(("127.0.0.1", port))
        client.sendall(b"GET /flood HTTP/1.1\r\nhost: a\r\n\r\n")
        before = -1
        while (taken := int((_told(port) or {"flood_bytes": 0})["flood_bytes"])) != before:
            before = taken
            time.sleep(0.5)
    return taken


def _told(port: int) -> dict[str, Any] | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/told")
        told: dict[str, Any] = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return told


def _pss_mb(pid: int) -> float:
    """Of the process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    total = 0
    for each in (str(pid), *children):
        for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024
