"""What the figures say of workers, as long as there is something to say."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from gateway.generation import Chunk
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.request import RequestTelemetry
from gateway.telemetry.upstream import UpstreamTelemetry


def test_the_series_of_a_worker_that_is_forgotten_end_and_those_of_others_stay() -> None:
    registry = CollectorRegistry()
    telemetry = UpstreamTelemetry(Metrics(registry, model="m"))
    for reason in ("silent", "unreachable"):
        telemetry.worker_failed("10.0.0.1:8001", reason)
    telemetry.worker_failed("10.0.0.2:8001", "silent")

    telemetry.worker_forgotten("10.0.0.1:8001")
    telemetry.worker_forgotten("10.0.0.3:8001")  # one that never failed

    exposition = generate_latest(registry).decode()
    assert "10.0.0.1" not in exposition
    labels = {"worker": "10.0.0.2:8001", "reason": "silent"}
    assert registry.get_sample_value("gw_worker_failures_total", labels) == 1


def test_a_worker_that_is_back_is_counted_from_the_beginning() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, model="m")
    telemetry = UpstreamTelemetry(metrics)
    for _ in range(2):
        for _ in range(3):
            request = RequestTelemetry(metrics, request_id="r", method="POST")
            request.attempt("10.0.0.1:8001", generated_tokens=0)
            request.received(Chunk([1], worker="10.0.0.1:8001"))
        for name in ("attempts_total", "first_token_seconds_count"):
            labels = {"worker": "10.0.0.1:8001"}
            assert registry.get_sample_value(f"gw_worker_{name}", labels) == 3
        telemetry.worker_forgotten("10.0.0.1:8001")
        assert "10.0.0.1" not in generate_latest(registry).decode()
