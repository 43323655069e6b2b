"""How billing goes, as operators see it."""

from __future__ import annotations

from gateway.telemetry.metrics import Metrics


class SettlementTelemetry:
    """Counts what `Settler` tells (its protocol SettlementObserver)."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def settled(self, verdict: str) -> None:
        self._metrics.settle_verdicts[verdict].inc()

    def undurable(self, settlements: int) -> None:
        self._metrics.settlements_undurable.set(settlements)

    def spooled(self, in_file_bytes: int) -> None:
        self._metrics.spool_bytes.set(in_file_bytes)

    def quarantined(self) -> None:
        self._metrics.settlements_quarantined.inc()

    def lost(self) -> None:
        self._metrics.settlements_lost.inc()
