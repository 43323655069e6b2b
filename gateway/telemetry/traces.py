"""Which requests are traced, and how their spans reach a collector.

A request that is not traced costs one random number. Whether it is, we decide: a client that
could force it would write to the operator's storage what it likes. What a client sends as
`traceparent` becomes a link of our own trace; only where clients are trusted, its trace goes on
in ours, and its sampling decides.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, SpanContext
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.telemetry.request_trace import RequestTrace

_log = logging.getLogger(__name__)

SERVICE_NAME = "llm-gateway"
CLOSE_S = 3.0
# Spans, of two hundred requests or so; those beyond are dropped.
MAX_WAITING = 2048

_W3C = TraceContextTextMapPropagator()


class Tracing(Protocol):
    def of_request(
        self, method: str, headers: Iterable[tuple[bytes, bytes]]
    ) -> RequestTrace | None:
        """The trace of a request that has just come; None if it is not traced."""

    def close(self) -> None:
        """Send what is left. Blocks, for CLOSE_S at most."""


class Untraced:
    """Tracing that traces nothing."""

    def of_request(
        self, method: str, headers: Iterable[tuple[bytes, bytes]]
    ) -> RequestTrace | None:
        return None

    def close(self) -> None:
        pass


UNTRACED = Untraced()


class Traced:
    """Tracing of a share of all requests.

    Args:
        exporter: where spans go; from a thread of its own.
        model: what GenAI attributes call the model.
        share: of the requests, from 0 to 1.
        trust_clients: their `traceparent` says which trace it is, and whether it is sampled.
        headers_for_workers: workers are told of the trace, and add their spans.
        draw: a random number from 0 to 1.
    """

    def __init__(
        self,
        exporter: CountingExporter,
        *,
        model: str,
        version: str,
        share: float,
        trust_clients: bool = False,
        headers_for_workers: bool = True,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._model = model
        self._share = share
        self._trust_clients = trust_clients
        self._headers_for_workers = headers_for_workers
        self._draw = draw
        # It warns of every header that is wrong, and quotes it: anybody could write to our log.
        logging.getLogger("opentelemetry.trace").setLevel(logging.ERROR)
        resource = Resource.create({"service.name": SERVICE_NAME, "service.version": version})
        # Whoever asks for a span has decided that it is to be.
        self._provider = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False)
        self._provider.add_span_processor(_Queue(exporter))
        self._tracer = self._provider.get_tracer("llm-gateway", version)

    def of_request(
        self, method: str, headers: Iterable[tuple[bytes, bytes]]
    ) -> RequestTrace | None:
        theirs = _their_span(headers, with_state=self._trust_clients)
        parent: Context | None = None
        links: tuple[Link, ...] = ()
        if theirs is not None and self._trust_clients:
            if not theirs.trace_flags.sampled:
                return None
            parent = trace.set_span_in_context(trace.NonRecordingSpan(theirs), Context())
        else:
            if self._draw() >= self._share:
                return None
            if theirs is not None:
                links = (Link(theirs),)
        return RequestTrace(
            self._tracer,
            method=method,
            model=self._model,
            parent=parent,
            links=links,
            headers_for_workers=self._headers_for_workers,
        )

    def close(self) -> None:
        # In a thread that nobody waits for: a collector that does not answer keeps it for longer.
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_S)


def _their_span(headers: Iterable[tuple[bytes, bytes]], *, with_state: bool) -> SpanContext | None:
    """What the client says that its span is; None if it says nothing, or nonsense.

    *with_state*: `tracestate` as well, half a kilobyte of whatever it likes.
    """
    carrier = {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in headers
        if name == b"traceparent" or (with_state and name == b"tracestate")
    }
    if "traceparent" not in carrier:
        return None
    span = trace.get_current_span(_W3C.extract(carrier, Context())).get_span_context()
    return span if span.is_valid else None


class CountingExporter(SpanExporter):
    """Tells how many spans have reached the collector, and how many have not."""

    def __init__(self, exporter: SpanExporter, observe: Callable[[str, int], None]) -> None:
        """*observe* is told "exported" or "failed", and how many; from another thread."""
        self._exporter = exporter
        self._observe = observe
        self._waiting = 0
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Whether one more may wait to be exported; if not, it is counted as failed."""
        with self._lock:
            there_is_room = self._waiting < MAX_WAITING
            self._waiting += there_is_room
        if not there_is_room:
            self._observe("failed", 1)
        return there_is_room

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._lock:
            self._waiting -= len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            failed = result is not SpanExportResult.SUCCESS
            self._observe("failed" if failed else "exported", len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class _Queue(BatchSpanProcessor):
    """Never full: OpenTelemetry's own would drop its oldest spans, and nobody would count them."""

    def __init__(self, exporter: CountingExporter) -> None:
        super().__init__(exporter, max_queue_size=MAX_WAITING)
        self._counting = exporter

    def on_end(self, span: ReadableSpan) -> None:
        if self._counting.take():
            super().on_end(span)


def otlp_exporter(url: str) -> SpanExporter:
    """To a collector over OTLP/HTTP; *url* is whole, `/v1/traces` included.

    Headers, certificates and time-outs as OpenTelemetry's own variables say them
    (OTEL_EXPORTER_OTLP_HEADERS and so on).
    """
    # 2 MB for its messages, its compression and its client, which most gateways have no use for.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
        OTLPSpanExporter,
    )

    return OTLPSpanExporter(endpoint=url)
