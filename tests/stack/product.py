"""The product, running, as tests and benchmarks use it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.stack import demo
from tests.stack.fleet import FleetWorker, addresses, running_fleet
from tests.stack.gateway import start_gateway
from tests.stack.process import Process, free_port
from tests.stack.redis import start_redis
from tests.stack.resources import listener

PEPPERS = f"1:{'ab' * 32}"
ADMIN_KEY = "admin-key-of-the-tests-" + "0" * 20

# As fast as it can, with faults on demand.
FAST_SIMULATOR = {
    "WORKER_SIMULATOR_FIRST_TOKEN_MS": "0",
    "WORKER_SIMULATOR_TOKENS_PER_SECOND": "0",
    "WORKER_SIMULATOR_DIRECTIVES": "1",
    "WORKER_HEARTBEAT_MS": "500",
}


@dataclass
class Product:
    """Addresses of what runs, and shorthands for what tests do with it."""

    url: str
    ops_url: str
    admin_url: str
    redis_url: str
    workers: list[FleetWorker]
    directory: Path
    gateway: Process
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def triton(self) -> Process:
        """The only worker's, or the first one's."""
        return self.workers[0].process

    @property
    def triton_address(self) -> str:
        """Of the workers, with commas between if there are several."""
        return addresses(self.workers)

    def gwctl(self, *arguments: str) -> Any:
        return demo.gwctl(self.administration, *arguments)

    @property
    def administration(self) -> dict[str, str]:
        """What `gwctl` finds the gateway by."""
        return {"GATEWAY_ADMIN_URL": self.admin_url, "GATEWAY_ADMIN_KEY": ADMIN_KEY}

    def admin(self, method: str, path: str, **options: Any) -> Any:
        """The admin API, asked by somebody who may do everything; its JSON."""
        headers = {"authorization": f"Bearer {ADMIN_KEY}"}
        answer = httpx.request(
            method, f"{self.admin_url}{path}", headers=headers, timeout=30, **options
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def new_project(self, **limits: int) -> demo.Tenant:
        """A project with a key; *limits* as the admin API names them."""
        name = f"test {next(self._numbers)}"
        path = "/v1/organization/projects"
        project_id = self.admin("POST", path, json={"name": name, "limits": limits})["id"]
        key = self.admin("POST", f"{path}/{project_id}/api_keys", json={"name": name})
        return demo.Tenant(project_id, key["value"])

    def usage(self, project_id: str) -> dict[str, int]:
        """Requests and tokens of a project so far, over all days, keys and models."""
        totals: dict[str, int] = {}
        # Over Redis: the gateway may have ended.
        environment = {"REDIS_URL": self.redis_url, "GATEWAY_ADMIN_URL": ""}
        for row in demo.gwctl(environment, "usage", "--project", project_id):
            for name, value in row.items():
                if isinstance(value, int):
                    totals[name] = totals.get(name, 0) + value
        return totals

    def metric(self, name: str, **labels: str) -> float:
        """A sample of the gateway's /metrics; 0 if it is not there."""
        return metric_sample(httpx.get(f"{self.ops_url}/metrics").text, name, labels)

    def worker_metric(self, name: str) -> float:
        """The sum over all workers."""
        return sum(
            metric_sample(httpx.get(worker.metrics_url).text, name, {}) for worker in self.workers
        )

    def processes(self) -> dict[str, int]:
        """Pids by name, of the first worker if there are several."""
        redis_port = urlsplit(self.redis_url).port
        assert redis_port is not None
        return {
            "gateway": self.gateway.pid,
            "triton": self.triton.pid,
            "stub": self.workers[0].stub_pid(),
            "redis": listener("redis-server", redis_port),
        }

    def log_lines(self) -> list[dict[str, Any]]:
        """The gateway's log so far."""
        lines = self.gateway.log.read_text().splitlines()
        # gRPC's own, on stderr, tells of workers that were killed.
        return [json.loads(line) for line in lines if line.startswith("{")]


@contextmanager
def running_product(
    directory: Path,
    *,
    workers: int = 1,
    worker_env: Mapping[str, str] = FAST_SIMULATOR,
    worker_flags: Sequence[str] = (),
    gateway_env: Mapping[str, str] | None = None,
    redis_url: str | None = None,
) -> Iterator[Product]:
    """Start everything on free ports; stop it at the end.

    *worker_flags*: Triton's. *redis_url*: of one that runs already.
    """
    redis_port, port, ops_port, admin_port = (free_port() for _ in range(4))
    own_redis = redis_url is None
    redis_url = redis_url or f"redis://127.0.0.1:{redis_port}/0"
    with (
        start_redis(redis_port, directory / "redis") if own_redis else nullcontext(),
        running_fleet(directory, workers, worker_env, worker_flags) as fleet,
        start_gateway(
            port,
            ops_port,
            directory,
            redis_url=redis_url,
            workers=addresses(fleet),
            peppers=PEPPERS,
            env={
                "GATEWAY_DRAIN_DELAY_S": "0",
                "GATEWAY_DRAIN_TIMEOUT_S": "10",
                "GATEWAY_CURRENT_DATE": "2026-11-22",
                "GATEWAY_ADMIN_PORT": str(admin_port),
                "GATEWAY_ADMIN_KEY": ADMIN_KEY,
                **(gateway_env or {}),
            },
        ) as gateway,
    ):
        yield Product(
            url=f"http://127.0.0.1:{port}",
            ops_url=f"http://127.0.0.1:{ops_port}",
            admin_url=f"http://127.0.0.1:{admin_port}",
            redis_url=redis_url,
            workers=fleet,
            directory=directory,
            gateway=gateway,
        )


@contextmanager
def more_gateways(product: Product, directories: Iterable[Path]) -> Iterator[list[str]]:
    """Further gateways on the product's Redis and worker, one a directory; their addresses."""
    with ExitStack() as running:
        urls = []
        for directory in directories:
            port = free_port()
            running.enter_context(
                start_gateway(
                    port,
                    free_port(),
                    directory,
                    redis_url=product.redis_url,
                    workers=product.triton_address,
                    peppers=PEPPERS,
                    env={"GATEWAY_DRAIN_DELAY_S": "0"},
                )
            )
            urls.append(f"http://127.0.0.1:{port}")
        yield urls


def metric_sample(exposition: str, name: str, labels: Mapping[str, str]) -> float:
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return 0.0
