"""What the workers' failures look like to operators."""

from __future__ import annotations

from gateway.telemetry.metrics import Metrics


class UpstreamTelemetry:
    """Counts what `upstream` reports (its protocol UpstreamObserver)."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def worker_failed(self, address: str, reason: str) -> None:
        self._metrics.worker_failures.labels(address, reason).inc()

    def worker_forgotten(self, address: str) -> None:
        self._metrics.forget_worker(address)

    def taken_over(self, generated_tokens: int) -> None:
        when = "mid_stream" if generated_tokens else "before_first_token"
        self._metrics.worker_takeovers.labels(when).inc()
