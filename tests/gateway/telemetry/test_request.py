"""How a request is counted: whose doing was its end?"""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from gateway.generation import Chunk
from gateway.quota.usage import Usage
from gateway.responses import errors
from gateway.responses.errors import ApiError
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.request import RequestTelemetry

USAGE = Usage(10, 4, 20, 5)


@pytest.mark.parametrize(
    ("outcome", "error", "status", "counted"),
    [
        ("completed", None, 200, "ok"),
        ("incomplete", None, 200, "incomplete"),
        ("cancelled", None, 200, "client_cancel"),
        (None, None, None, "client_cancel"),
        # After the first byte the status is 200, whatever follows.
        ("failed", errors.engine_failed(), 200, "upstream"),
        ("failed", errors.engine_timeout(), 200, "upstream"),
        ("failed", errors.internal_error(), 200, "internal"),
        ("failed", errors.no_worker(), 503, "overloaded"),
        ("failed", errors.overloaded(), 429, "overloaded"),
    ],
)
def test_an_outcome_is_one_word_of_a_closed_set(
    outcome: str | None, error: ApiError | None, status: int | None, counted: str
) -> None:
    registry = CollectorRegistry()
    request = RequestTelemetry(Metrics(registry, model="m"), request_id="r", method="POST")
    request.route = "responses"
    if outcome is not None:
        request.ended(outcome, USAGE, error)
    request.close(status)

    assert registry.get_sample_value("gw_outcomes_total", {"outcome": counted}) == 1


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (errors.invalid_key(), "client_error"),
        (errors.context_length_exceeded("9", 5), "client_error"),
        (errors.store_unavailable(), "store"),
        (errors.internal_error(), "internal"),
        (ApiError(429, "rate_limit_error", "rate_limit_exceeded", "."), "limited"),
    ],
)
def test_a_refusal_is_one_too(error: ApiError, counted: str) -> None:
    registry = CollectorRegistry()
    request = RequestTelemetry(Metrics(registry, model="m"), request_id="r", method="POST")
    request.route = "responses"
    request.error_code = error.code or ""
    request.close(error.status)

    assert registry.get_sample_value("gw_outcomes_total", {"outcome": counted}) == 1
    assert registry.get_sample_value("gw_rejections_total", {"reason": error.code or ""}) == 1


@pytest.mark.parametrize(("streamed", "counted"), [(True, 1), (False, 0)])
def test_gaps_are_felt_by_who_reads_along(streamed: bool, counted: int) -> None:
    registry = CollectorRegistry()
    request = RequestTelemetry(Metrics(registry, model="m"), request_id="r", method="POST")
    request.route, request.streamed = "responses", streamed
    for token_id in (1, 2):
        request.received(Chunk([token_id], worker="w"))
    request.ended("completed", USAGE, None)
    request.close(200)

    assert registry.get_sample_value("gw_stream_longest_gap_seconds_count") == counted


@pytest.mark.parametrize(
    ("age_s", "first_token_s"),
    [(0.25, 0.75), (0.0, 1.0), (10.0, 0.5)],
    ids=["held back", "as it came", "older than the question: nonsense"],
)
def test_a_token_that_was_held_back_counts_from_when_it_was_generated(
    monkeypatch: pytest.MonkeyPatch, age_s: float, first_token_s: float
) -> None:
    now = 100.0
    monkeypatch.setattr("gateway.telemetry.request.time.perf_counter", lambda: now)
    registry = CollectorRegistry()
    request = RequestTelemetry(Metrics(registry, model="m"), request_id="r", method="POST")
    request.route = "responses"
    now = 100.5
    request.attempt("w", generated_tokens=0)
    now = 101.0
    request.received(Chunk([1, 2], worker="w", first_token_age_s=age_s))
    request.ended("completed", USAGE, None)
    request.close(200)

    def total(name: str) -> float:
        metric = next(each for each in registry.collect() if each.name == name)
        return next(each.value for each in metric.samples if each.name == f"{name}_sum")

    assert total("gen_ai_server_time_to_first_token_seconds") == pytest.approx(first_token_s)
    assert total("gw_worker_time_per_token_seconds") == pytest.approx(1.0 - first_token_s)
