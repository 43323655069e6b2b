"""Which requests are traced, and whose trace it is."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client import CollectorRegistry

from gateway.quota.usage import Usage
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.request import RequestTelemetry
from gateway.telemetry.request_trace import RequestTrace
from gateway.telemetry.traces import CountingExporter, Traced

THEIRS = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = [(b"traceparent", f"00-{THEIRS}-b7ad6b7169203331-01".encode())]
NOT_SAMPLED = [(b"traceparent", f"00-{THEIRS}-b7ad6b7169203331-00".encode())]


class Stage:
    """Tracing into memory."""

    def __init__(self, *, share: float = 1.0, draw: float = 0.5, trust: bool = False) -> None:
        self.memory = InMemorySpanExporter()
        self.told: list[tuple[str, int]] = []
        self.tracing = Traced(
            CountingExporter(self.memory, lambda result, count: self.told.append((result, count))),
            model="gpt-oss-120b",
            version="1",
            share=share,
            trust_clients=trust,
            draw=lambda: draw,
        )

    def begin(self, headers: list[tuple[bytes, bytes]]) -> RequestTrace | None:
        return self.tracing.of_request("POST", headers)

    def spans(self) -> list[ReadableSpan]:
        self.tracing.close()
        return list(self.memory.get_finished_spans())


@pytest.mark.parametrize(("draw", "traced"), [(0.0, True), (0.0999, True), (0.1, False)])
@pytest.mark.parametrize("headers", [[], SAMPLED, NOT_SAMPLED])
def test_the_share_decides_whatever_a_client_says(
    draw: float, traced: bool, headers: list[tuple[bytes, bytes]]
) -> None:
    assert (Stage(share=0.1, draw=draw).begin(headers) is not None) == traced


@pytest.mark.parametrize(("headers", "traced"), [(SAMPLED, True), (NOT_SAMPLED, False)])
def test_a_client_that_is_trusted_decides(headers: list[tuple[bytes, bytes]], traced: bool) -> None:
    stage = Stage(share=0, trust=True)
    trace = stage.begin(headers)
    assert (trace is not None) == traced
    if trace is not None:
        assert trace.trace_id == THEIRS
        trace.end("/v1/responses", 200, "", {})
        (span,) = stage.spans()
        assert span.parent is not None
        assert f"{span.parent.span_id:016x}" == "b7ad6b7169203331"


@pytest.mark.parametrize(
    "nonsense",
    [b"", b"00-0-0-01", b"\xff" * 55, f"00-{'0' * 32}-{'0' * 16}-01".encode(), b"a" * 100_000],
)
@pytest.mark.parametrize("trust", [True, False])
def test_nonsense_is_no_trace(nonsense: bytes, trust: bool) -> None:
    stage = Stage(trust=trust)
    trace = stage.begin([(b"traceparent", nonsense), (b"tracestate", nonsense)])
    assert trace is not None
    trace.end("", 404, "not_found", {})
    (span,) = stage.spans()
    assert (span.parent, list(span.links)) == (None, [])
    assert span.name == "POST"


def test_what_is_open_when_a_request_ends_ends_with_it() -> None:
    stage = Stage()
    request = RequestTelemetry(
        Metrics(CollectorRegistry(), model="m"),
        request_id="r",
        method="POST",
        trace=stage.begin([]),
    )
    request.enter("authenticate")
    request.enter("receive")
    request.close(None)
    assert [span.name for span in stage.spans()] == ["authenticate", "receive", "POST"]
    assert stage.told == [("exported", 3)]


def test_a_client_that_left_is_no_error_of_the_worker() -> None:
    stage = Stage()
    trace = stage.begin([])
    assert trace is not None
    trace.enter("generate")
    trace.attempt("worker:8001", generated_tokens=0).ended("cancelled")
    trace.end("/v1/responses", 499, "", {})
    asked = next(span for span in stage.spans() if span.name.endswith("ModelStreamInfer"))
    assert asked.status.status_code is StatusCode.UNSET
    assert (asked.attributes or {})["rpc.grpc.status_code"] == 1


def test_a_stream_that_failed_after_its_200_is_an_error() -> None:
    stage = Stage()
    trace = stage.begin([])
    assert trace is not None
    trace.enter("generate")
    attempt = trace.attempt("[::1]:8001", generated_tokens=0)
    assert dict(attempt.headers)["traceparent"].startswith(f"00-{trace.trace_id}-")
    attempt.ended("silent")
    trace.end("/v1/responses", 200, "model_error", {})
    spans = {span.name: span for span in stage.spans()}
    asked = spans["inference.GRPCInferenceService/ModelStreamInfer"]
    assert asked.attributes is not None
    assert (asked.attributes["server.address"], asked.attributes["server.port"]) == ("::1", 8001)
    assert not asked.status.is_ok
    assert not spans["POST /v1/responses"].status.is_ok


def test_first_token_and_duration_lead_from_a_bucket_to_a_trace() -> None:
    registry = CollectorRegistry()
    trace = Stage().begin([])
    assert trace is not None
    request = RequestTelemetry(
        Metrics(registry, model="m"), request_id="r", method="POST", trace=trace
    )
    request.route = "responses"
    request.ended("completed", Usage(1, 0, 2, 0), None)
    request.close(200)
    (duration,) = [
        family
        for family in registry.collect()
        if family.name == "gen_ai_server_request_duration_seconds"
    ]
    exemplars = [sample.exemplar for sample in duration.samples if sample.exemplar]
    assert [exemplar.labels for exemplar in exemplars] == [{"trace_id": trace.trace_id}]


def test_the_names_of_the_generations_attributes_are_those_of_the_conventions() -> None:
    """OpenTelemetry's GenAI conventions as of May 2026: they are still being changed."""
    stage = Stage()
    request = RequestTelemetry(
        Metrics(CollectorRegistry(), model="m"),
        request_id="r",
        method="POST",
        trace=stage.begin([]),
    )
    request.route, request.response_id = "responses", "resp-1"
    request.enter("generate")
    request.ended("completed", Usage(10, 4, 20, 5), None)
    request.close(200)
    spans = {span.name: span for span in stage.spans()}
    found = dict(spans["chat gpt-oss-120b"].attributes or {})
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "llm-gateway",
        "gen_ai.request.model": "gpt-oss-120b",
        "gen_ai.response.model": "gpt-oss-120b",
        "gen_ai.request.stream": False,
        "gen_ai.response.id": "resp-1",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 5,
        "llm_gateway.outcome": "completed",
    }
    of_request = set(spans["POST /v1/responses"].attributes or {})
    assert of_request == {
        *("http.request.method", "http.route", "http.response.status_code"),
        *("llm_gateway.request_id", "llm_gateway.outcome", "openai.api.type"),
    }


class Mute(SpanExporter):
    """To a collector that says nothing until `answers` is set."""

    def __init__(self) -> None:
        self.answers = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.answers.wait(30)
        return SpanExportResult.SUCCESS


def test_what_a_collector_is_too_slow_for_is_counted() -> None:
    told: Counter[str] = Counter()
    mute = Mute()
    tracing = Traced(
        CountingExporter(mute, lambda result, count: told.update({result: count})),
        model="gpt-oss-120b",
        version="1",
        share=1,
    )
    for _ in range(4000):
        trace = tracing.of_request("POST", [])
        assert trace is not None
        trace.end("", 200, "", {})
    mute.answers.set()
    tracing.close()

    assert told["failed"] > 0
    assert told.total() == 4000


@pytest.mark.parametrize("trust", [True, False])
@pytest.mark.parametrize("state", [b"said by a client", b"a=b,a=c", b"a=" + b"b" * 300, b"a=b"])
def test_what_a_client_says_of_its_trace_is_not_in_our_log_and_kept_only_if_it_is_trusted(
    state: bytes, trust: bool, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage(trust=trust)
    trace = stage.begin([*SAMPLED, (b"tracestate", state)])
    assert trace is not None
    trace.end("", 404, "not_found", {})
    assert stage.begin([(b"traceparent", b"x" * 600)]) is not None

    assert caplog.records == []
    (span,) = stage.spans()
    assert [dict(link.context.trace_state) for link in span.links] == ([] if trust else [{}])
