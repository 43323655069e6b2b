"""Figures that somebody has anyway, and that are asked for at a scrape."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gateway.quota.service_tier import ServiceTier


class WorkerStatus(Protocol):
    """What the worker pool tells of one worker."""

    @property
    def address(self) -> str: ...
    @property
    def up(self) -> bool: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def ejections(self) -> int: ...


class Scheduler(Protocol):
    @property
    def in_service(self) -> int: ...
    def waiting_by_tier(self) -> Mapping[ServiceTier, int]: ...


class Pool(Protocol):
    def slots(self) -> int: ...
    def statuses(self) -> Iterable[WorkerStatus]: ...


class SchedulerCollector(Collector):
    def __init__(self, scheduler: Scheduler, pool: Pool) -> None:
        self._scheduler = scheduler
        self._pool = pool

    def collect(self) -> Iterable[Metric]:
        queued = GaugeMetricFamily(
            "gw_queued_requests", "Requests that wait for a place with a worker", labels=["tier"]
        )
        for tier, count in self._scheduler.waiting_by_tier().items():
            queued.add_metric([tier.value], count)
        in_service = GaugeMetricFamily(
            "gw_slots_in_use", "Requests of this gateway that have a place with a worker"
        )
        in_service.add_metric([], self._scheduler.in_service)
        slots = GaugeMetricFamily(
            "gw_slots", "Places that all workers have together, as they say and we have learned"
        )
        slots.add_metric([], self._pool.slots())
        return queued, in_service, slots


class WorkerCollector(Collector):
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("gw_worker_up", "1 if the worker takes requests", labels=["worker"])
        in_flight = GaugeMetricFamily(
            "gw_worker_inflight", "Generations of this gateway on the worker", labels=["worker"]
        )
        ejections = CounterMetricFamily(
            "gw_worker_ejections",
            "How often the worker was left alone for a while because it kept failing",
            labels=["worker"],
        )
        for status in self._pool.statuses():
            ejections.add_metric([status.address], status.ejections)
            up.add_metric([status.address], float(status.up))
            in_flight.add_metric([status.address], status.in_flight)
        return up, in_flight, ejections


class Settler(Protocol):
    @property
    def pending(self) -> int: ...
    @property
    def oldest_s(self) -> float: ...


class SettlementCollector(Collector):
    def __init__(self, settler: Settler) -> None:
        self._settler = settler

    def collect(self) -> Iterable[Metric]:
        pending = GaugeMetricFamily(
            "gw_settlements_pending",
            "Settlements that are not in Redis yet; above 0 for long means trouble",
        )
        pending.add_metric([], self._settler.pending)
        oldest = GaugeMetricFamily(
            "gw_settlement_oldest_seconds", "How long the oldest of them has waited; 0 if none does"
        )
        oldest.add_metric([], self._settler.oldest_s)
        return pending, oldest


class LoopCollector(Collector):
    def collect(self) -> Iterable[Metric]:
        tasks = GaugeMetricFamily(
            "gw_event_loop_tasks", "Tasks of the event loop, this scrape's included"
        )
        tasks.add_metric([], _tasks())
        return (tasks,)


def _tasks() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0  # scraped from outside a loop
