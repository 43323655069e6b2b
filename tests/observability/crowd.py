"""A gateway whose metrics have seen everything: ten thousand projects, thirty-two workers."""

from __future__ import annotations

import random

from prometheus_client import CollectorRegistry

from gateway.generation import Chunk
from gateway.quota.reservation import RateLimitState, Reservation
from gateway.quota.service_tier import ServiceTier
from gateway.quota.usage import Usage
from gateway.responses.error_table import ERROR_TABLE
from gateway.responses.errors import ApiError
from gateway.telemetry.collectors import (
    LoopCollector,
    SchedulerCollector,
    SettlementCollector,
    WorkerCollector,
)
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.request import RequestTelemetry
from gateway.upstream.failures import Reason
from gateway.upstream.health import WorkerState
from gateway.upstream.worker import WorkerStatus
from tests.observability.nobody import Nobody

PROJECTS = 10_000
WORKERS = [f"10.0.0.{number}:8001" for number in range(32)]


class Fleet(Nobody):
    def statuses(self) -> list[WorkerStatus]:
        return [WorkerStatus(each, WorkerState.UP, 3, 100, 1) for each in WORKERS]


def full_registry(*, projects: int = PROJECTS) -> CollectorRegistry:
    """Ten thousand projects, thirty-two workers, and everything that can happen to them."""
    registry = CollectorRegistry()
    metrics = Metrics(registry, model="gpt-oss-120b")
    fleet = Fleet()
    for collector in (
        WorkerCollector(fleet),
        SchedulerCollector(fleet, fleet),
        SettlementCollector(fleet),
        LoopCollector(),
    ):
        registry.register(collector)
    draw = random.Random(7)
    errors: list[ApiError | None] = [None] * 20
    errors += [
        ApiError(row.status, row.type, code, ".") for row in ERROR_TABLE for code in row.codes
    ]
    for number in range(projects):
        one_request(metrics, f"prj_{number}", draw, errors[number % len(errors)])
    for worker in WORKERS:
        # What befalls one: seldom all there is.
        for reason in draw.sample(list(Reason), 4):
            metrics.worker_failures.labels(worker, reason.value).inc()
    for op in ("reserve", "renew", "settle", "reap", "release"):
        for result in ("admitted", "unavailable"):
            metrics.store_operation(op, result, 0.001)
    return registry


def one_request(
    metrics: Metrics, project_id: str, draw: random.Random, error: ApiError | None
) -> None:
    """A request of this project, from its arrival to its end; with *error*, if it had one."""
    request = RequestTelemetry(metrics, request_id="r", method="POST")
    request.route = draw.choice(("responses", "chat"))
    request.streamed = draw.random() < 0.5
    request.project_id, request.kid = project_id, f"kid-of-{project_id}"
    for station in ("authenticate", "receive", "validate"):
        request.enter(station)
    request.validated()
    request.rendered(100)
    tier = draw.choice(list(ServiceTier))
    request.admitted(
        Reservation(
            lease_id="l",
            project_id=project_id,
            kid="k",
            model="m",
            input_tokens=1,
            output_tokens=1,
            max_output_tokens=1,
            admitted_at_ms=0,
            day=0,
            month=197001,
            rate_limits=RateLimitState(None, None),
            tier=tier,
        )
    )
    request.scheduled()
    worker = draw.choice(WORKERS)
    request.attempt(worker, generated_tokens=0)
    request.received(Chunk([1], worker=worker))
    request.received(Chunk([2], worker=worker))
    request.ended("completed" if error is None else "failed", Usage(1, 0, 2, 0), error)
    request.close(200 if error is None else error.status)
