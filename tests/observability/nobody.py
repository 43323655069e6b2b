"""A gateway where nothing happens: what collectors ask, answered with nothing."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.quota.service_tier import ServiceTier
from gateway.telemetry.collectors import WorkerStatus


class Nobody:
    """No worker, no queue, no settlement."""

    pending, oldest_s, in_service = 0, 0.0, 0

    def slots(self) -> int:
        return 0

    def statuses(self) -> Iterable[WorkerStatus]:
        return ()

    def waiting_by_tier(self) -> dict[ServiceTier, int]:
        return {}
