"""One request, as operators see it: a line of log, its share of the metrics, perhaps a trace."""

from __future__ import annotations

import logging
import time

from gateway.generation import UNWATCHED, AttemptWatch, Chunk
from gateway.quota.reservation import Reservation
from gateway.quota.usage import Usage
from gateway.responses.errors import ApiError
from gateway.telemetry.logs import FIELDS, log_fields
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.request_trace import RequestTrace

_log = logging.getLogger(__name__)

GENERATING_ROUTES = ("responses", "chat")
CLIENT_CLOSED_REQUEST = 499  # nginx's word for it; never sent to anybody

# Of requests whose route, a word for metrics, has a path of its own.
_PATHS = {
    "responses": "/v1/responses",
    "chat": "/v1/chat/completions",
    "input_tokens": "/v1/responses/input_tokens",
    "models": "/v1/models",
}
# Who ended a stream that had begun, by the error that it was told.
_CUT_BY = {
    "shutting_down": "drain",
    "model_error": "worker",
    "timeout": "timeout",
    "internal_error": "internal",
}


class RequestTelemetry:
    """Filled in as a request passes its stations; told once, by `close()`."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        request_id: str,
        method: str,
        trace: RequestTrace | None = None,
    ) -> None:
        self.request_id = request_id
        # Set by the HTTP edge, as it gets to know them.
        self.route = "other"
        self.streamed = False
        self.error_code = ""
        self.kid: str | None = None
        self.project_id: str | None = None
        self.response_id: str | None = None
        self._mine = {FIELDS: {"request_id": request_id}}  # for whatever is logged meanwhile
        self._metrics = metrics
        self._method = method
        self._trace = trace
        self._exemplar = None if trace is None else {"trace_id": trace.trace_id}
        self._station = ""
        self._station_since = 0.0
        self._started_at = time.perf_counter()
        self._first_token_at: float | None = None
        self._last_token_at = 0.0
        self._longest_gap_s = 0.0
        self._output_tokens = 0
        self._input_tokens: int | None = None
        self._usage: Usage | None = None
        self._outcome: str | None = None
        self._worker: str | None = None
        self._attempts = 0
        self._attempt_at = 0.0
        self._in_flight = False
        self._reserved_at: float | None = None
        self._waited_s: float | None = None
        self._tier: str | None = None
        self._shadow_refusals: list[str] = []

    def enter(self, station: str) -> None:
        """The request has left its last station, and is at this one."""
        self._leave()
        _log.debug("station: %s", station, extra=self._mine)
        self._station, self._station_since = station, time.perf_counter()
        if self._trace is not None:
            self._trace.enter(station)

    def _leave(self) -> None:
        if self._station:
            self._metrics.station(self._station, time.perf_counter() - self._station_since)
            self._station = ""

    # What `create_response` tells (its protocol Observer).

    def validated(self) -> None:
        self.enter("render")

    def rendered(self, input_tokens: int) -> None:
        self._input_tokens = input_tokens
        self.enter("reserve")

    def admitted(self, reservation: Reservation) -> None:
        self.enter("queue")
        self._reserved_at = time.perf_counter()
        self._tier = reservation.tier.value
        for refusal in reservation.shadow_refusals:
            self._shadow_refusals.append(f"{refusal.scope}:{refusal.quota}")
            self._metrics.shadow_refusals.labels(refusal.quota, refusal.scope).inc()

    def scheduled(self) -> None:
        assert self._reserved_at is not None and self._tier is not None
        self._waited_s = time.perf_counter() - self._reserved_at
        self._metrics.queue_wait_s[self._tier].observe(self._waited_s, self._exemplar)
        self.enter("generate")
        self._in_flight = True
        self._metrics.in_flight.inc()

    def dropped(self, kind: str, count: int) -> None:
        """*kind*: tool, item_reference or call."""
        self._metrics.dropped.labels(kind).inc(count)

    def attempt(self, worker: str, *, generated_tokens: int) -> AttemptWatch:
        _log.debug("asking %s, behind %d tokens", worker, generated_tokens, extra=self._mine)
        self._metrics.worker_attempts[worker].inc()
        self._attempts += 1
        self._attempt_at = time.perf_counter()
        if self._trace is None:
            return UNWATCHED
        return self._trace.attempt(worker, generated_tokens=generated_tokens)

    def received(self, chunk: Chunk) -> None:
        if not chunk.token_ids:
            return
        now = time.perf_counter()
        self._output_tokens += len(chunk.token_ids)
        if self._first_token_at is None:
            # When it was generated; and not before it was asked for, whatever a worker says.
            first_at = max(now - chunk.first_token_age_s, self._attempt_at)
            self._first_token_at = first_at
            self._worker = chunk.worker
            self._metrics.first_token_s.observe(first_at - self._started_at, self._exemplar)
            self._metrics.worker_first_token_s[chunk.worker].observe(first_at - self._attempt_at)
        elif self.streamed and now - self._last_token_at > self._longest_gap_s:
            self._longest_gap_s = now - self._last_token_at
        self._last_token_at = now

    def ended(self, outcome: str, usage: Usage, error: ApiError | None) -> None:
        self._outcome = outcome
        if error is not None:
            self.error_code = error.code or error.type
        self._usage = usage
        if self._in_flight:
            self._in_flight = False
            self._metrics.in_flight.dec()
            self._metrics.request_tokens("input", usage.input_tokens)
            self._metrics.request_tokens("output", usage.output_tokens)
        if self._trace is not None:
            self._trace.generation(self._gen_ai(outcome, usage))
        tokens = self._metrics.tokens
        tokens["input"].inc(usage.input_tokens)
        tokens["cached"].inc(usage.cached_tokens)
        tokens["output"].inc(usage.output_tokens)
        tokens["reasoning"].inc(usage.reasoning_tokens)
        if self._first_token_at is not None and self._output_tokens > 1:
            generating_s = self._last_token_at - self._first_token_at
            per_token_s = generating_s / (self._output_tokens - 1)
            self._metrics.per_token_s.observe(per_token_s, self._exemplar)
            if self._attempts == 1 and self._worker is not None:
                self._metrics.worker_per_token_s[self._worker].observe(per_token_s)
            if self.streamed:  # the chunks of others are kept back until it is worth a message
                self._metrics.longest_gap_s.observe(self._longest_gap_s, self._exemplar)
        self.enter("settle")

    def _gen_ai(self, outcome: str, usage: Usage) -> dict[str, str | int | float | bool | None]:
        """The generation, in OpenTelemetry's words."""
        first_token_s = self._first_token_at and self._first_token_at - self._started_at
        return {
            "gen_ai.request.stream": self.streamed,
            "gen_ai.response.id": self.response_id,
            "gen_ai.response.time_to_first_chunk": first_token_s,
            "gen_ai.usage.input_tokens": usage.input_tokens,
            "gen_ai.usage.output_tokens": usage.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
            "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
            "error.type": self.error_code or None,
            "llm_gateway.outcome": outcome,
        }

    # What the HTTP edge tells.

    def close(self, status: int | None) -> None:
        """The request is over. *status* is None if the client left before there was one."""
        duration_s = time.perf_counter() - self._started_at
        # Cancelled, but told an error: it was not the client that left, but we that end.
        if status is None or (self._outcome == "cancelled" and not self.error_code):
            status = CLIENT_CLOSED_REQUEST
        self._leave()
        outcome = self._outcome_word(status) if self.route in GENERATING_ROUTES else None
        self._count(status, duration_s, outcome)
        if self._trace is not None:
            self._end(self._trace, status, outcome)
        usage = self._usage
        fields = {
            "request_id": self.request_id,
            "trace_id": self._trace and self._trace.trace_id,
            "span_id": self._trace and self._trace.span_id,
            "response_id": self.response_id,
            "project": self.project_id,
            "kid": self.kid,
            "method": self._method,
            "route": self.route,
            "status": status,
            "code": self.error_code or None,
            "outcome": outcome,
            "stream": self.streamed,
            "input_tokens": self._input_tokens if usage is None else usage.input_tokens,
            "cached_tokens": usage and usage.cached_tokens,
            "output_tokens": usage and usage.output_tokens,
            "reasoning_tokens": usage and usage.reasoning_tokens,
            "shadow_refusals": self._shadow_refusals or None,
            "tier": self._tier,
            "queue_ms": None if self._waited_s is None else round(self._waited_s * 1000, 1),
            "ttft_ms": _milliseconds(self._first_token_at, self._started_at),
            "longest_gap_ms": round(self._longest_gap_s * 1000, 1) if self._longest_gap_s else None,
            "duration_ms": round(duration_s * 1000, 1),
            "worker": self._worker,
        }
        # Absent rather than null: most requests that fail have few of them.
        known = {name: value for name, value in fields.items() if value is not None}
        log_fields(_log, "request", known)

    def _count(self, status: int, duration_s: float, outcome: str | None) -> None:
        metrics = self._metrics
        metrics.http_requests[self.route, str(status), str(self.streamed).lower()].inc()
        if self.error_code:
            metrics.rejections.labels(self.error_code).inc()
            if self.streamed and status == 200:
                metrics.streams_cut.labels(_CUT_BY.get(self.error_code, "other")).inc()
        if outcome is not None:
            metrics.outcomes[outcome].inc()
            error_type = "" if outcome in ("ok", "incomplete") else outcome
            metrics.request_duration(duration_s, error_type, self._exemplar)

    def _end(self, trace: RequestTrace, status: int, outcome: str | None) -> None:
        trace.end(
            _PATHS.get(self.route, ""),
            status,
            self.error_code,
            {
                "llm_gateway.request_id": self.request_id,
                "llm_gateway.project": self.project_id,
                "llm_gateway.key": self.kid,
                "llm_gateway.tier": self._tier,
                "llm_gateway.outcome": outcome,
                "openai.api.type": "responses" if self.route == "responses" else None,
            },
        )

    def _outcome_word(self, status: int) -> str:
        """One word of a closed set, for SLOs: whose doing was the end of this request?"""
        if status == CLIENT_CLOSED_REQUEST:
            return "client_cancel"
        match self.error_code:
            case "":
                return "incomplete" if self._outcome == "incomplete" else "ok"
            case "rate_limit_exceeded" | "insufficient_quota":
                return "limited"
            case "engine_overloaded" | "gateway_overloaded" | "shutting_down":
                return "overloaded"
            case "store_unavailable" | "identity_provider_unavailable":
                return "store"
            case "model_error" | "timeout":
                return "upstream"
            case "internal_error":
                return "internal"
        return "client_error"


def _milliseconds(at: float | None, since: float) -> float | None:
    return None if at is None else round((at - since) * 1000, 1)
