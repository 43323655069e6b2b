"""A collector that keeps what it is sent: OTLP over HTTP, in protobuf (ours) or JSON (Triton's)."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, slots=True)
class Span:
    """A span as a store of traces knows it. Ids in lower-case hex; "" is nobody."""

    service: str
    name: str
    kind: str  # SPAN_KIND_SERVER, ...
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    links: list[str]  # ids of other traces
    is_error: bool
    duration_ns: int


@dataclass
class Collector:
    """What has come so far."""

    url: str
    spans: list[Span] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)  # every body, as JSON

    def trace(self, trace_id: str) -> list[Span]:
        return [span for span in self.spans if span.trace_id == trace_id]

    def take(self, content_type: str, body: bytes) -> None:
        if "json" in content_type:
            message, ids = json.loads(body), _hex_as_it_is
        else:
            message = MessageToDict(ExportTraceServiceRequest.FromString(body))
            ids = _hex_of_base64
        self.raw.append(json.dumps(message))
        for resource in message.get("resourceSpans", ()):
            service = _attributes(resource.get("resource", {})).get("service.name", "")
            for scope in resource.get("scopeSpans", ()):
                self.spans += [_span(span, service, ids) for span in scope.get("spans", ())]


@contextmanager
def running_collector(port: int = 0) -> Iterator[Collector]:
    """On *port*; 0: one that the system picks."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            collector.take(self.headers.get("content-type", ""), body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}/v1/traces")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def as_tree(spans: Sequence[Span], parent_id: str = "", depth: int = 0) -> Iterator[str]:
    """One trace in lines, in the order in which spans ended; it begins with who has no parent."""
    for span in spans:
        if span.parent_id == parent_id:
            told = ", ".join(f"{name}={value}" for name, value in span.attributes.items())
            error = " ERROR" if span.is_error else ""
            yield f"{'  ' * depth}{span.name}{error}  {span.duration_ns / 1e6:.1f} ms  {told}"
            yield from as_tree(spans, span.span_id, depth + 1)


def _span(span: Mapping[str, Any], service: str, ids: Any) -> Span:
    return Span(
        service=service,
        name=span["name"],
        kind=_KINDS.get(span.get("kind", 0), str(span.get("kind"))),
        trace_id=ids(span["traceId"]),
        span_id=ids(span["spanId"]),
        parent_id=ids(span.get("parentSpanId", "")),
        attributes=_attributes(span),
        links=[ids(link["traceId"]) for link in span.get("links", ())],
        is_error=span.get("status", {}).get("code") in (2, "STATUS_CODE_ERROR"),
        duration_ns=int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]),
    )


_KINDS = {1: "SPAN_KIND_INTERNAL", 2: "SPAN_KIND_SERVER", 3: "SPAN_KIND_CLIENT"}


def _attributes(holder: Mapping[str, Any]) -> dict[str, Any]:
    return {each["key"]: _value(each["value"]) for each in holder.get("attributes", ())}


def _value(value: Mapping[str, Any]) -> Any:
    ((kind, content),) = value.items()
    return int(content) if kind == "intValue" else content


def _hex_as_it_is(text: str) -> str:
    return "" if set(text) <= {"0"} else text.lower()


def _hex_of_base64(text: str) -> str:
    return base64.b64decode(text).hex()
