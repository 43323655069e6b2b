"""The spans of one request that is traced: one a station, one for each attempt at generating.

    POST /v1/responses                    server
        authenticate, receive, validate, render, reserve, queue
        chat gpt-oss-120b                 client: the generation, with the attributes of GenAI
            ModelStreamInfer              client: one for each worker that tried; Triton's are below
        settle

Names and attributes are OpenTelemetry's (HTTP and RPC 1.4x, GenAI as of May 2026, still called
development); ours begin with `llm_gateway.`. Ids of tenants are in them, nothing that they said:
no prompt, no answer, no key. And nothing is made for a token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

GENERATE = "generate"
CANCELLED = 1  # gRPC's number for it

_W3C = TraceContextTextMapPropagator()

# Values of attributes; None is left out.
_Attributes = Mapping[str, str | int | float | bool | Sequence[str] | None]


class RequestTrace:
    """A trace under way. Open spans are ended with the request, whatever becomes of it."""

    def __init__(
        self,
        tracer: Tracer,
        *,
        method: str,
        model: str,
        parent: Context | None = None,
        links: Sequence[Link] = (),
        headers_for_workers: bool = True,
    ) -> None:
        """*parent*: the span that called us, if it is believed; *links*: if it is not."""
        self._tracer = tracer
        self._method = method
        self._model = model
        self._headers_for_workers = headers_for_workers
        self._request = tracer.start_span(
            method, context=parent or Context(), kind=SpanKind.SERVER, links=links
        )
        self._station: Span | None = None
        self._is_generating = False
        self.trace_id = trace.format_trace_id(self._request.get_span_context().trace_id)
        self.span_id = trace.format_span_id(self._request.get_span_context().span_id)

    def enter(self, station: str) -> None:
        """The request has left its last station, and is at this one."""
        self._leave()
        self._is_generating = station == GENERATE
        below_request = trace.set_span_in_context(self._request, Context())
        if self._is_generating:
            self._station = self._tracer.start_span(
                f"chat {self._model}",
                context=below_request,
                kind=SpanKind.CLIENT,
                attributes={
                    "gen_ai.operation.name": "chat",
                    "gen_ai.provider.name": "llm-gateway",
                    "gen_ai.request.model": self._model,
                    "gen_ai.response.model": self._model,
                },
            )
        else:
            self._station = self._tracer.start_span(station, context=below_request)

    def generation(self, attributes: _Attributes) -> None:
        """More about the generation; nothing while there is none."""
        if self._is_generating:
            _set(self._station, attributes)

    def attempt(self, worker: str, *, generated_tokens: int) -> AttemptTrace:
        """*worker*, host:port, is about to be asked, behind so many tokens of others."""
        host, _, port = worker.rpartition(":")
        span = self._tracer.start_span(
            "inference.GRPCInferenceService/ModelStreamInfer",
            context=trace.set_span_in_context(self._station or self._request, Context()),
            kind=SpanKind.CLIENT,
            attributes={
                "rpc.system": "grpc",
                "rpc.service": "inference.GRPCInferenceService",
                "rpc.method": "ModelStreamInfer",
                "server.address": host.strip("[]"),
                "server.port": int(port),
                "llm_gateway.generated_tokens": generated_tokens,
            },
        )
        return AttemptTrace(span, with_headers=self._headers_for_workers)

    def end(self, route: str, status: int, error: str, attributes: _Attributes) -> None:
        """The request is over. *route*: its path, with names for what varies; *error*: its code."""
        self._leave()
        if route:
            self._request.update_name(f"{self._method} {route}")
        _set(
            self._request,
            {
                "http.request.method": self._method,
                "http.route": route or None,
                "http.response.status_code": status,
                "error.type": error or None,
                **attributes,
            },
        )
        if status >= 500 or error in _OURS:
            self._request.set_status(Status(StatusCode.ERROR, error))
        self._request.end()

    def _leave(self) -> None:
        if self._station is not None:
            self._station.end()
            self._station = None


# What may befall a stream whose status, 200, has long been sent.
_OURS = frozenset({"internal_error", "model_error", "timeout", "shutting_down"})


class AttemptTrace:
    """The span of one attempt on one worker."""

    def __init__(self, span: Span, *, with_headers: bool) -> None:
        self._span = span
        self._with_headers = with_headers

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What the call carries, so that the worker's spans are below this one."""
        if not self._with_headers:
            return ()
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, trace.set_span_in_context(self._span, Context()))
        return tuple(carrier.items())

    def ended(self, failure: str) -> None:
        """*failure*: in a word of the gateway's metrics; empty if all went well."""
        if failure == "cancelled":  # the client left, mostly: no error of anybody
            self._span.set_attribute("rpc.grpc.status_code", CANCELLED)
        elif failure:
            self._span.set_attribute("error.type", failure)
            self._span.set_status(Status(StatusCode.ERROR, failure))
        self._span.end()


def _set(span: Span | None, attributes: _Attributes) -> None:
    if span is not None:
        span.set_attributes({k: v for k, v in attributes.items() if v is not None})
