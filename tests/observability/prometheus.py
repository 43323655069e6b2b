"""A real Prometheus that watches the product, with the chart's own rules."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.chart.helm import CHART
from tests.stack.process import Process, free_port

SCRAPE_S = 1
NAMESPACE = "inference"


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask, as which pod."""

    address: str  # host:port
    pod: str


@dataclass(frozen=True, slots=True)
class Series:
    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]  # Unix s, value


class Prometheus:
    def __init__(self, url: str, targets: Path, process: Process) -> None:
        self.url = url
        self.process = process
        self._targets = targets
        self._client = httpx.Client(base_url=f"{url}/api/v1/", timeout=60)

    def close(self) -> None:
        self._client.close()

    def watch(self, targets: Sequence[Target]) -> None:
        """From now on, these; as pods come and go."""
        content = [
            {"targets": [each.address], "labels": {"pod": each.pod, "namespace": NAMESPACE}}
            for each in targets
        ]
        self._targets.write_text(yaml.safe_dump(content))

    def ask(self, path: str, **parameters: str | float) -> Any:
        """Raises AssertionError with Prometheus' words."""
        body = self._client.get(path, params=parameters).json()
        assert body["status"] == "success", f"{parameters}: {body.get('error')}"
        return body["data"]

    def over_time(self, expr: str, start: float, end: float, *, step_s: float = 1) -> list[Series]:
        data = self.ask("query_range", query=expr, start=start, end=end, step=step_s)
        return [
            Series(each["metric"], [(float(at), float(value)) for at, value in each["values"]])
            for each in data["result"]
        ]

    def now(self, expr: str, at: float | None = None) -> list[Series]:
        data = self.ask("query", query=expr, time=time.time() if at is None else at)
        return [
            Series(each["metric"], [(float(each["value"][0]), float(each["value"][1]))])
            for each in data["result"]
        ]

    def targets_up(self) -> int:
        return len([each for each in self.now("up == 1")])


@contextmanager
def running_prometheus(directory: Path) -> Iterator[Prometheus]:
    """On a free port; `watch()` says whom it asks."""
    binary = shutil.which("prometheus")
    assert binary is not None, "prometheus is not installed (apt-get install prometheus)"
    directory.mkdir(parents=True, exist_ok=True)
    targets = directory / "targets.yaml"
    targets.write_text("[]")
    configuration = directory / "prometheus.yaml"
    configuration.write_text(
        yaml.safe_dump(
            {
                "global": {
                    "scrape_interval": f"{SCRAPE_S}s",
                    "scrape_timeout": f"{SCRAPE_S}s",
                    "evaluation_interval": f"{SCRAPE_S}s",
                },
                "rule_files": [str(each) for each in sorted((CHART / "rules").glob("*.yaml"))],
                "scrape_configs": [
                    {
                        "job_name": "llm-gateway",
                        "file_sd_configs": [
                            {"files": [str(targets)], "refresh_interval": f"{SCRAPE_S}s"}
                        ],
                    }
                ],
            }
        )
    )
    port = free_port()
    process = Process(
        "Prometheus",
        [
            binary,
            f"--config.file={configuration}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--enable-feature=exemplar-storage",
            "--log.level=warn",
        ],
        log=directory / "prometheus.log",
    )
    url = f"http://127.0.0.1:{port}"
    try:
        process.wait_until(lambda: _is_ready(url), timeout_s=60)
        prometheus = Prometheus(url, targets, process)
        try:
            yield prometheus
        finally:
            prometheus.close()
    finally:
        process.stop()


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", timeout=2).status_code == 200
    except httpx.TransportError:
        return False
