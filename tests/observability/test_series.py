"""How many series a gateway has at worst: Prometheus pays for each, and our loop for each scrape."""

from __future__ import annotations

from prometheus_client import generate_latest

from tests.observability.crowd import full_registry

MAX_SERIES = 2_000


def test_ten_thousand_projects_make_no_more_series_than_ten() -> None:
    registry = full_registry()
    exposition = generate_latest(registry).decode()
    assert "prj_" not in exposition
    series = [line for line in exposition.splitlines() if not line.startswith("#")]
    assert 1_000 < len(series) <= MAX_SERIES, len(series)
