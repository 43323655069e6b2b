"""Several gateways, of which some are killed or frozen, and replaced."""

from __future__ import annotations

import itertools
import random
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.stack.gateway import is_ready
from tests.stack.process import Process, free_port
from tests.stack.product import PEPPERS, metric_sample
from tests.system.waiting import wait_until

COUNT = 3
LEASE_S = 1.5
RENEW_S = 0.25
SETTINGS = {
    "GATEWAY_LEASE_S": str(LEASE_S),
    "GATEWAY_RENEW_INTERVAL_S": str(RENEW_S),
    "GATEWAY_REAP_INTERVAL_S": "0.5",
    # A file that is synced once a second, and a replica that is cut off for 0.3 s.
    "GATEWAY_SETTLEMENT_KEEP_S": "2.5",
    # Frozen with its gateway, a stream must not be taken for a dead worker's.
    "GATEWAY_IDLE_TIMEOUT_S": "60",
    "GATEWAY_DRAIN_DELAY_S": "0",
    "GATEWAY_DRAIN_TIMEOUT_S": "30",
    "GATEWAY_LOG_LEVEL": "WARNING",
}


@dataclass
class Gateway:
    number: int
    process: Process
    port: int
    ops_port: int
    killed_at: float | None = None  # monotonic

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def metric(self, name: str) -> float:
        text = httpx.get(f"http://127.0.0.1:{self.ops_port}/metrics", timeout=5).text
        return metric_sample(text, name, {})


@dataclass
class Gateways:
    """Those that there are. Threads may ask for one at any time."""

    directory: Path
    redis_url: str
    workers: str
    mutant: str | None
    seed: int
    ever: list[Gateway] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._serving: list[Gateway] = []

    def start(self, count: int = COUNT) -> None:
        for _ in range(count):
            self._add()

    def any_one(self) -> Gateway:
        """One that serves, as a load balancer would choose."""
        with self._lock:
            return self._random.choice(self._serving)

    def kill_one(self) -> None:
        """SIGKILL, and a new one in its place."""
        with self._lock:
            doomed = self._random.choice(self._serving)
            self._serving.remove(doomed)
            doomed.killed_at = time.monotonic()
        doomed.process.kill()
        self._add()

    def freeze_one(self, seconds: float) -> None:
        """SIGSTOP for longer than its leases last; it goes on then as if nothing had been."""
        with self._lock:
            frozen = self._random.choice(self._serving)
            self._serving.remove(frozen)
        frozen.process.send(signal.SIGSTOP)
        time.sleep(seconds)
        frozen.process.send(signal.SIGCONT)
        with self._lock:
            self._serving.append(frozen)

    def quiet(self) -> bool:
        """Whether everything that was served is in Redis, for good."""
        with self._lock:
            serving = list(self._serving)
        names = ("gw_inflight_requests", "gw_settlements_pending", "gw_settlements_undurable")
        return all(each.metric(name) == 0 for each in serving for name in names)

    def stop(self) -> None:
        with self._lock:
            for each in self._serving:
                each.process.send(signal.SIGCONT)
                each.process.stop()

    def _add(self) -> None:
        number = next(self._numbers)
        directory = self.directory / f"gateway{number}"
        port, ops_port = free_port(), free_port()
        entry = ["gateway"] if self.mutant is None else ["tests.chaos.mutants", self.mutant]
        env: Mapping[str, str] = {
            **SETTINGS,
            "GATEWAY_PORT": str(port),
            "GATEWAY_OPS_PORT": str(ops_port),
            "GATEWAY_WORKERS": self.workers,
            "GATEWAY_KEY_PEPPERS": PEPPERS,
            "GATEWAY_SPOOL_DIR": str(directory / "spool"),
            "REDIS_URL": self.redis_url,
        }
        process = Process(
            f"Gateway {number}",
            [sys.executable, "-m", *entry],
            log=directory / "gateway.log",
            env=env,
        )
        gateway = Gateway(number, process, port, ops_port)
        self.ever.append(gateway)
        # Redis may be away just now: then it is not ready for a while.
        wait_until(lambda: is_ready(ops_port) or not process.running, "a gateway was ready")
        assert process.running, process.log_tail()
        with self._lock:
            self._serving.append(gateway)
