"""One request, as operators see it: a line of log and its share of the metrics."""

from __future__ import annotations

import logging
import time

from gateway.generation import Chunk
from gateway.quota.reservation import Reservation
from gateway.quota.usage import Usage
from gateway.responses.errors import ApiError
from gateway.telemetry.logs import FIELDS
from gateway.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)

GENERATING_ROUTES = ("responses", "chat")
CLIENT_CLOSED_REQUEST = 499  # nginx's word for it; never sent to anybody


class RequestTelemetry:
    """Filled in as a request passes its stations; told once, by `close()`."""

    def __init__(self, metrics: Metrics, *, request_id: str, method: str) -> None:
        self.request_id = request_id
        # Set by the HTTP edge, as it gets to know them.
        self.route = "other"
        self.streamed = False
        self.error_code = ""
        self.kid: str | None = None
        self.project_id: str | None = None
        self.response_id: str | None = None
        self._metrics = metrics
        self._method = method
        self._started_at = time.perf_counter()
        self._first_token_at: float | None = None
        self._last_token_at: float | None = None
        self._output_tokens = 0
        self._input_tokens: int | None = None
        self._usage: Usage | None = None
        self._outcome: str | None = None
        self._worker: str | None = None
        self._in_flight = False
        self._reserved_at: float | None = None
        self._waited_s: float | None = None
        self._tier: str | None = None
        self._shadow_refusals: list[str] = []

    # What `create_response` tells (its protocol Observer).

    def rendered(self, input_tokens: int) -> None:
        self._input_tokens = input_tokens

    def admitted(self, reservation: Reservation) -> None:
        self._reserved_at = time.perf_counter()
        self._tier = reservation.tier.value
        for refusal in reservation.shadow_refusals:
            self._shadow_refusals.append(f"{refusal.scope}:{refusal.quota}")
            self._metrics.shadow_refusals.labels(refusal.quota, refusal.scope).inc()

    def scheduled(self) -> None:
        assert self._reserved_at is not None and self._tier is not None
        self._waited_s = time.perf_counter() - self._reserved_at
        self._metrics.queue_wait_s.labels(self._tier).observe(self._waited_s)
        self._in_flight = True
        self._metrics.in_flight.inc()

    def dropped(self, kind: str, count: int) -> None:
        """*kind*: tool, item_reference or call."""
        self._metrics.dropped.labels(kind).inc(count)

    def received(self, chunk: Chunk) -> None:
        if not chunk.token_ids:
            return
        now = self._last_token_at = time.perf_counter()
        self._output_tokens += len(chunk.token_ids)
        if self._first_token_at is None:
            self._first_token_at = now
            self._worker = chunk.worker
            self._metrics.first_token_s.observe(now - self._started_at)

    def ended(self, outcome: str, usage: Usage, error: ApiError | None) -> None:
        self._outcome = outcome
        if error is not None:
            self.error_code = error.code or error.type
        self._usage = usage
        if self._in_flight:
            self._in_flight = False
            self._metrics.in_flight.dec()
        tokens = self._metrics.tokens
        tokens.labels("input").inc(usage.input_tokens)
        tokens.labels("cached").inc(usage.cached_tokens)
        tokens.labels("output").inc(usage.output_tokens)
        tokens.labels("reasoning").inc(usage.reasoning_tokens)
        if self._first_token_at is not None and self._output_tokens > 1:
            assert self._last_token_at is not None
            generating_s = self._last_token_at - self._first_token_at
            self._metrics.per_token_s.observe(generating_s / (self._output_tokens - 1))

    # What the HTTP edge tells.

    def close(self, status: int | None) -> None:
        """The request is over. *status* is None if the client left before there was one."""
        duration_s = time.perf_counter() - self._started_at
        if status is None or self._outcome == "cancelled":
            status = CLIENT_CLOSED_REQUEST
        self._count(status, duration_s)
        usage = self._usage
        fields = {
            "request_id": self.request_id,
            "response_id": self.response_id,
            "project": self.project_id,
            "kid": self.kid,
            "method": self._method,
            "route": self.route,
            "status": status,
            "code": self.error_code or None,
            "outcome": self._outcome,
            "stream": self.streamed,
            "input_tokens": self._input_tokens if usage is None else usage.input_tokens,
            "cached_tokens": usage and usage.cached_tokens,
            "output_tokens": usage and usage.output_tokens,
            "reasoning_tokens": usage and usage.reasoning_tokens,
            "shadow_refusals": self._shadow_refusals or None,
            "tier": self._tier,
            "queue_ms": None if self._waited_s is None else round(self._waited_s * 1000, 1),
            "ttft_ms": _milliseconds(self._first_token_at, self._started_at),
            "duration_ms": round(duration_s * 1000, 1),
            "worker": self._worker,
        }
        # Absent rather than null: most requests that fail have few of them.
        known = {name: value for name, value in fields.items() if value is not None}
        _log.info("request", extra={FIELDS: known})

    def _count(self, status: int, duration_s: float) -> None:
        metrics = self._metrics
        metrics.http_requests.labels(self.route, str(status), str(self.streamed).lower()).inc()
        if self.error_code:
            metrics.rejections.labels(self.error_code).inc()
        if self.route in GENERATING_ROUTES:
            metrics.outcomes.labels(self._outcome_word(status)).inc()
            metrics.request_duration(duration_s, error_type=self.error_code)

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
            case "store_unavailable":
                return "store"
            case "model_error" | "timeout":
                return "upstream"
            case "internal_error":
                return "internal"
        return "client_error"


def _milliseconds(at: float | None, since: float) -> float | None:
    return None if at is None else round((at - since) * 1000, 1)
