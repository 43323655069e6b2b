"""What a cluster does with pods of the gateway, on processes: probes, endpoints, the sequence of an end.

Taken from the rendered pod: its probe's path and period, preStop, grace. Times are those of a cluster,
so the values of the chart are set short.
"""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.chart.node import Node
from tests.stack.process import Process

# From the decision that a pod ends until the last node sends nothing to it any more.
PROPAGATION_S = 1.0

_POD = "Deployment/gw-llm-gateway-gateway"


class Pod:
    """One gateway, and what the cluster knows of it."""

    def __init__(self, node: Node) -> None:
        self.node = node
        spec = node.rendered.pods()[_POD]["spec"]
        (container,) = [each for each in spec["containers"] if each["name"] == "gateway"]
        probe = container["readinessProbe"]["httpGet"]
        self._readiness_url = f"http://127.0.0.1:{node.ports['gateway', '9100']}{probe['path']}"
        self._pre_stop_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        self._grace_s = spec["terminationGracePeriodSeconds"]
        self._terminating_since: float | None = None
        self.process: Process = node.start_gateway()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.node.ports['gateway', '8080']}"

    @property
    def metrics_url(self) -> str:
        return f"http://127.0.0.1:{self.node.ports['gateway', '9100']}/metrics"

    def ready(self) -> bool:
        """As the readiness probe finds it."""
        try:
            return httpx.get(self._readiness_url, timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    @property
    def has_traffic(self) -> bool:
        """Whether nodes still send requests to it."""
        since = self._terminating_since
        return since is None or time.monotonic() - since < PROPAGATION_S

    def terminate(self) -> int:
        """The kubelet's sequence: sleep, SIGTERM, wait, SIGKILL. Returns the exit code.

        The sleep counts within the grace. Raises TimeoutError when SIGKILL was needed.
        """
        began = self._terminating_since = time.monotonic()
        time.sleep(self._pre_stop_s)
        self.process.send(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s=began + self._grace_s - time.monotonic())
        except subprocess.TimeoutExpired as exc:
            self.process.kill()
            raise TimeoutError(f"it had not ended after {self._grace_s} s") from exc

    def terminating(self) -> threading.Thread:
        """`terminate()` in a thread, which has started."""
        thread = threading.Thread(target=self.terminate)
        thread.start()
        return thread


class Service:
    """Where clients go: to the pods that have traffic, in turns."""

    def __init__(self) -> None:
        self.pods: list[Pod] = []
        self._turn = 0

    def url(self) -> str:
        pods = [pod for pod in self.pods if pod.has_traffic]
        self._turn += 1
        return pods[self._turn % len(pods)].url


@contextmanager
def another_pod(like: Node, directory: Path) -> Iterator[Pod]:
    """A replica: the same Redis and worker, ports of its own."""
    node = Node(like.rendered, directory, like.secrets)
    for component, port in node.ports:
        if component != "gateway":
            node.ports[component, port] = like.ports[component, port]
    pod = Pod(node)
    try:
        yield pod
    finally:
        pod.process.stop()
