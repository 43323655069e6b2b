"""docs/metrics.md names every metric there is, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from gateway.store.project_activity import ProjectActivity
from gateway.store.server_facts import ServerFacts
from gateway.telemetry.collectors import (
    LoopCollector,
    SchedulerCollector,
    SettlementCollector,
    WorkerCollector,
)
from gateway.telemetry.metrics import Metrics
from gateway.usage_exporter.__main__ import Exporter
from tests.observability.nobody import Nobody

_ROW = re.compile(r"^\| `([a-z_]+)` \| ([a-z_*, ]*) ?\| ", re.MULTILINE)


@pytest.fixture(scope="module")
def families() -> list[Metric]:
    registry = CollectorRegistry()
    Metrics(registry, model="m")
    nobody = Nobody()
    for collector in (
        WorkerCollector(nobody),
        SchedulerCollector(nobody, nobody),
        SettlementCollector(nobody),
        LoopCollector(),
    ):
        registry.register(collector)
    return [family for family in registry.collect() if not family.name.startswith("process_")]


def documented(*, by_project: bool = False) -> dict[str, str]:
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    gateways, projects = text.split("## By project")
    return dict(_ROW.findall(projects.partition("## ")[0] if by_project else gateways))


def test_every_metric_is_in_the_document_and_back(families: list[Metric]) -> None:
    assert {family.name for family in families} == set(documented())


async def nothing() -> ServerFacts:
    return ServerFacts()


def test_so_is_every_metric_of_the_usage_exporter() -> None:
    registry = CollectorRegistry()
    Exporter(cast(ProjectActivity, None), nothing, registry, projects=1, held_s=60)
    assert {each.name for each in registry.collect()} == set(documented(by_project=True))


def test_so_is_every_metric_of_the_worker() -> None:
    root = Path(__file__).parents[2]
    source = (root / "workers" / "triton_model.py").read_text()
    section = (root / "docs" / "metrics.md").read_text().split("## Workers")[1]
    assert set(re.findall(r'_Family\(\s*"(\w+)"', source)) == set(
        dict(_ROW.findall(section.partition("## ")[0]))
    )


def test_none_has_a_label_that_a_tenant_fills(families: list[Metric]) -> None:
    """Each project of ten thousand would be a series of its own."""
    labels = {label.strip() for text in documented().values() for label in text.split(",")}
    assert labels == {
        *("", "route", "code", "stream", "outcome", "reason", "result", "type", "kind", "tier"),
        *("gen_ai_*", "error_type", "concern", "op", "verdict", "quota", "scope", "worker"),
        *("when", "by", "station", "version"),
    }
