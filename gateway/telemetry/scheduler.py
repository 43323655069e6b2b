"""What overload looks like to operators."""

from __future__ import annotations

from gateway.quota.service_tier import ServiceTier
from gateway.telemetry.metrics import Metrics


class SchedulerTelemetry:
    """Counts whom the scheduler refuses (its protocol Observer)."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def refused(self, tier: ServiceTier, reason: str) -> None:
        self._metrics.queue_refusals.labels(tier.value, reason).inc()
