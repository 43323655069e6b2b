"""What our histograms tell is what the library's own would."""

from __future__ import annotations

import time
from collections.abc import Callable

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics import exposition as openmetrics

from gateway.telemetry.histogram import Histogram

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # as metrics.py does

BUCKETS = (0.001, 0.5, 1, 60)
VALUES = st.sampled_from([0, 0.001, 0.0011, 0.5, 1, 59.9, 60, 61, 1e9])
EXEMPLARS = st.sampled_from([None, {"trace_id": "4bf92f35"}])


@given(st.lists(st.tuples(st.sampled_from(["reserve", "settle"]), VALUES, EXEMPLARS)))
def test_it_looks_as_one_of_the_library(
    told: list[tuple[str, float, dict[str, str] | None]],
) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    our = Histogram("gw_x_seconds", "How long", ("op",), buckets=BUCKETS, registry=ours)
    their = prometheus_client.Histogram(
        "gw_x_seconds", "How long", ("op",), buckets=BUCKETS, registry=theirs
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: 1.8e9)
        for op, value, exemplar in told:
            our.labels(op).observe(value, exemplar)
            their.labels(op).observe(value, exemplar)

    expositions: list[Callable[[CollectorRegistry], bytes]] = [
        prometheus_client.generate_latest,
        openmetrics.generate_latest,
    ]
    for exposition in expositions:
        assert exposition(ours) == exposition(theirs)


def test_one_without_labels_is_a_single_series() -> None:
    registry = CollectorRegistry()
    Histogram("gw_x_seconds", "How long", buckets=BUCKETS, registry=registry).labels().observe(0.7)
    assert registry.get_sample_value("gw_x_seconds_bucket", {"le": "0.5"}) == 0
    assert registry.get_sample_value("gw_x_seconds_bucket", {"le": "1.0"}) == 1
    assert registry.get_sample_value("gw_x_seconds_sum") == 0.7


def test_a_name_is_given_once() -> None:
    registry = CollectorRegistry()
    Histogram("gw_x_seconds", "How long", buckets=BUCKETS, registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        prometheus_client.Counter("gw_x_seconds_count", "How many", registry=registry)
