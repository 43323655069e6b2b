"""A release of the chart as processes: gateways come and go behind one address, and the Job runs beside them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.chart.helm import Object, Rendered, render
from tests.chart.node import Node
from tests.cluster import service
from tests.cluster.client import ALL_OPEN
from tests.cluster.manifests import CLIENT
from tests.drain.kubelet import Service
from tests.stack.process import Process

# Short, for nobody wants to wait; the arithmetic is the chart's.
_TIMES = (
    "gateway.drain.preStopSeconds=2",
    "gateway.drain.delaySeconds=2",
    "gateway.drain.settleSeconds=10",
    "gateway.config.bodyTimeoutSeconds=2",
    "gateway.config.queueTimeoutSeconds=1",
    "gateway.config.maxDurationSeconds=30",
)


@dataclass
class Client:
    process: Process
    stop_file: Path

    @property
    def log(self) -> str:
        return self.process.log.read_text()

    def wait_until_all_are_open(self) -> None:
        self.process.wait_until(lambda: ALL_OPEN in self.log, timeout_s=60)


@dataclass
class Release:
    node: Node
    service: Service = field(default_factory=Service)

    @property
    def store(self) -> dict[str, str]:
        """What gwctl finds its Redis by, whatever gateways there are."""
        env = self.node.container("Deployment/gw-llm-gateway-gateway").env
        return {name: env[name] for name in ("REDIS_URL", "GATEWAY_KEY_PEPPERS")} | {
            "GATEWAY_ADMIN_URL": ""
        }

    @contextmanager
    def at_one_address(self, directory: Path, more: Sequence[Object] = ()) -> Iterator[Node]:
        """Where pods run that ask the gateways' Service; *more* objects than the chart's."""
        secrets = {
            each["metadata"]["name"]: each["stringData"]
            for each in more
            if each["kind"] == "Secret"
        }
        node = Node(Rendered((*self.node.rendered.objects, *more)), directory, secrets)
        node.ports["redis", "6379"] = self.node.ports["redis", "6379"]
        with service.Service(self._port) as address:
            node.ports["gateway", "8080"] = address.port
            yield node

    @contextmanager
    def running_client(self, directory: Path, items: Sequence[Object]) -> Iterator[Client]:
        """The Job's container, as a process."""
        with self.at_one_address(directory, items) as node:
            container = node.container(f"Job/{CLIENT}")
            path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
            with Process(
                "The client",
                container.command,
                log=directory / "log",
                env={**container.env, "PATH": path},
            ) as process:
                yield Client(process, Path(container.env["STOP_FILE"]))

    def _port(self) -> int:
        port = urlsplit(self.service.url()).port
        assert port is not None
        return port


@contextmanager
def release_without_gateways(directory: Path) -> Iterator[Release]:
    """Redis and a worker run."""
    node = Node(render(sets=_TIMES), directory)
    with node.start_redis(), node.start_worker():
        yield Release(node)
