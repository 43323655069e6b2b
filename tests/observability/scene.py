"""The product, watched: two gateways, three workers, the usage exporter, a Prometheus, and tenants."""

from __future__ import annotations

import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

from tests.observability.collector import Collector, running_collector
from tests.observability.gpus import played_gpus
from tests.observability.prometheus import Prometheus, Target, running_prometheus
from tests.stack.demo import Tenant
from tests.stack.gateway import start_gateway
from tests.stack.process import Process, accepts_connections, free_port
from tests.stack.product import FAST_SIMULATOR, PEPPERS, Product, running_product
from tests.system.http import MODEL, simulate
from tests.system.waiting import wait_until

WORKERS = 3
PLACES = 8  # of each worker
# Steps twice as long as an H200's: 75 tokens a second with a few generations.
PACE = {"WORKER_SIMULATOR_PRESET": "h200-tp1", "WORKER_SIMULATOR_SPEED": "2"}

# What takes minutes is to take seconds.
IMPATIENT = {
    "GATEWAY_QUEUE_TIMEOUT_S": "1",
    "GATEWAY_IDLE_TIMEOUT_S": "2",
    "GATEWAY_RENEW_INTERVAL_S": "1",
}


@dataclass
class Scene:
    product: Product
    prometheus: Prometheus
    directory: Path
    exporter: Target
    gpus: Target
    began: float = field(default_factory=time.time)
    busy_until: float = 0.0
    second: tuple[Process, str, Target] | None = None  # gateway: process, url, target
    collector: Collector = field(default_factory=lambda: Collector(""))

    @property
    def urls(self) -> list[str]:
        return [self.product.url, *([self.second[1]] if self.second else [])]

    def watch(self) -> None:
        """Have Prometheus ask whoever is there now."""
        self.prometheus.watch(
            [
                Target(self.product.ops_url.removeprefix("http://"), "gateway-1"),
                *([self.second[2]] if self.second else []),
                *(
                    Target(f"127.0.0.1:{worker.ports.metrics}", f"worker-{number}")
                    for number, worker in enumerate(self.product.workers)
                ),
                self.exporter,
                self.gpus,
            ]
        )

    def start_second_gateway(self, *, version: int = 1) -> None:
        port, ops_port = free_port(), free_port()
        directory = self.directory / f"gateway-2-{version}"
        directory.mkdir()
        process = start_gateway(
            port,
            ops_port,
            directory,
            redis_url=self.product.redis_url,
            workers=self.product.triton_address,
            peppers=PEPPERS,
            env={
                **IMPATIENT,
                "GATEWAY_DRAIN_DELAY_S": "1",
                "GATEWAY_DRAIN_TIMEOUT_S": "2",
                "GATEWAY_TRACES_URL": self.collector.url,
            },
        )
        target = Target(f"127.0.0.1:{ops_port}", f"gateway-2-{version}")
        self.second = (process, f"http://127.0.0.1:{port}", target)
        self.watch()

    def drain_second_gateway(self) -> None:
        """As a rollout does, with a grace that is too short for long streams."""
        assert self.second is not None
        process, _, _ = self.second
        process.send(signal.SIGTERM)
        process.wait(timeout_s=30)
        self.second = None


@contextmanager
def watched_product(directory: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        collector = stack.enter_context(running_collector())
        product = stack.enter_context(
            running_product(
                directory / "product",
                workers=WORKERS,
                worker_env={**FAST_SIMULATOR, **PACE, "WORKER_MAX_RUNNING": str(PLACES)},
                gateway_env={
                    **IMPATIENT,
                    "GATEWAY_TRACES_URL": collector.url,
                    "GATEWAY_TRACES_SHARE": "0.3",
                    "OTEL_BSP_SCHEDULE_DELAY": "200",
                },
            )
        )
        prometheus = stack.enter_context(running_prometheus(directory / "prometheus"))
        exporter_port = free_port()
        (directory / "exporter").mkdir()
        exporter = Process(
            "The usage exporter",
            [sys.executable, "-m", "gateway.usage_exporter"],
            log=directory / "exporter" / "log",
            env={
                "REDIS_URL": product.redis_url,
                "USAGE_EXPORTER_PORT": str(exporter_port),
                "USAGE_EXPORTER_INTERVAL_S": "1",
                "USAGE_EXPORTER_HELD_S": "2",
            },
        )
        stack.callback(exporter.stop)
        exporter.wait_until(lambda: accepts_connections(exporter_port), timeout_s=30)
        scene = Scene(
            product,
            prometheus,
            directory,
            Target(f"127.0.0.1:{exporter_port}", "usage-exporter"),
            Target(stack.enter_context(played_gpus()), "worker-0"),
            collector=collector,
        )
        scene.start_second_gateway()
        try:
            wait_until(lambda: prometheus.targets_up() >= 7, "everybody is asked", timeout_s=60)
            yield scene
        finally:
            if scene.second is not None:
                scene.second[0].stop()


class Tenants:
    """Clients in threads, for as long as the context lasts."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def client(
        self, tenant: Tenant, ask: Callable[[random.Random], dict[str, Any]], *, pause_s: float = 0
    ) -> None:
        """One that asks again and again: what *ask* says."""
        draw = random.Random(len(self._threads))

        def go_on() -> None:
            # One for all its requests: each new one would read all authorities of the machine.
            with httpx.Client(timeout=30) as client:
                while not self._stop.is_set():
                    with suppress(httpx.HTTPError):
                        _ask(client, draw.choice(self._scene.urls), tenant, ask(draw))
                    self._stop.wait(pause_s * draw.random() * 2)

        thread = threading.Thread(target=go_on, daemon=True)
        thread.start()
        self._threads.append(thread)


def _ask(client: httpx.Client, url: str, tenant: Tenant, fields: dict[str, Any]) -> None:
    leave_after = fields.pop("leave_after", None)
    headers = {"authorization": f"Bearer {fields.pop('key', tenant.key)}"}
    path = fields.pop("path", "/v1/responses")
    body = {"model": MODEL, **fields}
    with client.stream("POST", f"{url}{path}", headers=headers, json=body) as answer:
        for number, _ in enumerate(answer.iter_lines()):
            if leave_after is not None and number > leave_after:
                return


def usual(draw: random.Random) -> dict[str, Any]:
    """What most ask for."""
    tokens = draw.choice((20, 40, 80))
    return {
        "input": simulate(repeat=tokens, reasoning="Let me think."),
        "stream": draw.random() < 0.7,
        "service_tier": draw.choice(("auto", "flex")),
        "prompt_cache_key": f"conversation {draw.randrange(6)}",
    }


def everything(draw: random.Random) -> dict[str, Any]:
    """What else may come: mistakes, wrong keys, chats, clients that leave."""
    return draw.choice(
        (
            {"input": 7, "temperature": "hot"},
            {"input": "Hello", "key": "gwk_wrong"},
            {"messages": [{"role": "user", "content": "Hello"}], "path": "/v1/chat/completions"},
            {"input": simulate(repeat=400), "stream": True, "leave_after": 20},
            {"input": simulate(repeat=30, fail_after=3), "stream": True},
            {"input": "Hello", "model": "gpt-5"},
        )
    )
