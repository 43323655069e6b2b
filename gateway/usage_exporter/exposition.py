"""What /metrics tells of projects, as of the last look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gateway.quota.limits import Quota
from gateway.store.project_activity import Fullness
from gateway.store.server_facts import ServerFacts
from gateway.usage_exporter.tally import OTHER, Used

BUDGETS = {"daily_tokens": "day", "monthly_tokens": "month"}
QUOTAS: tuple[Quota, ...] = get_args(Quota)
STATUSES = ("completed", "incomplete", "failed", "cancelled")
TOKENS = ("input", "cached", "output", "reasoning")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look: replaced as a whole, for scrapes come from another thread."""

    used: Mapping[str, Used] = field(default_factory=lambda: {OTHER: Used()})
    fullness: Mapping[str, Fullness] = field(default_factory=dict)
    folded: int = 0
    server: ServerFacts = field(default_factory=ServerFacts)


class ProjectCollector(Collector):
    def __init__(self) -> None:
        self.snapshot = Snapshot()

    def collect(self) -> Iterable[Metric]:
        snapshot = self.snapshot
        yield from _usage(snapshot)
        yield from _quotas(snapshot)
        folded = GaugeMetricFamily(
            "gw_projects_folded", "Projects that use something and are part of _other"
        )
        folded.add_metric([], snapshot.folded)
        yield folded
        yield from _server(snapshot.server)


def _usage(snapshot: Snapshot) -> Iterable[Metric]:
    requests = CounterMetricFamily(
        "gw_project_requests", "Responses by their status", labels=["project", "status"]
    )
    tokens = CounterMetricFamily(
        "gw_project_tokens",
        "Tokens billed; cached is a part of input, reasoning of output",
        labels=["project", "type"],
    )
    limited = CounterMetricFamily(
        "gw_project_limited",
        "Requests refused by the project's quotas, or its keys'",
        labels=["project", "limit"],
    )
    for project_id, used in snapshot.used.items():
        for status in {*STATUSES, *used.requests}:
            requests.add_metric([project_id, status], used.requests[status])
        for kind in TOKENS:
            tokens.add_metric([project_id, kind], used.tokens[kind])
        for quota in QUOTAS:
            limited.add_metric([project_id, quota], used.limited[quota])
    return requests, tokens, limited


def _quotas(snapshot: Snapshot) -> Iterable[Metric]:
    info = GaugeMetricFamily(
        "gw_project_info",
        "Always 1: what the project is called",
        labels=["project", "name", "organisation"],
    )
    quotas = GaugeMetricFamily(
        "gw_project_quota_ratio",
        "How much of a limit is taken now; 1: the next request is refused",
        labels=["project", "limit"],
    )
    budgets = GaugeMetricFamily(
        "gw_project_budget_used_ratio",
        "How much of a budget of tokens is used, of the day or month (UTC)",
        labels=["project", "period"],
    )
    for project_id, fullness in snapshot.fullness.items():
        info.add_metric([project_id, fullness.name, fullness.organisation_id], 1)
        for quota, ratio in fullness.ratios.items():
            if quota in BUDGETS:
                budgets.add_metric([project_id, BUDGETS[quota]], ratio)
            else:
                quotas.add_metric([project_id, quota], ratio)
    return info, quotas, budgets


def _server(server: ServerFacts) -> Iterable[Metric]:
    used = GaugeMetricFamily("gw_redis_memory_used_bytes", "Memory that Redis uses")
    used.add_metric([], server.used_memory_bytes)
    limit = GaugeMetricFamily("gw_redis_memory_max_bytes", "What it may use; 0: no limit")
    limit.add_metric([], server.max_memory_bytes)
    evicted = CounterMetricFamily(
        "gw_redis_evicted_keys", "Keys that Redis threw away for want of memory; must stay 0"
    )
    evicted.add_metric([], server.evicted_keys)
    replicas = GaugeMetricFamily(
        "gw_redis_connected_replicas", "Replicas of the primary that has fewest"
    )
    replicas.add_metric([], server.connected_replicas)
    return used, limit, evicted, replicas
