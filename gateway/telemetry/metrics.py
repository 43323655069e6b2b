"""Every metric of the gateway, in one place. `docs/metrics.md` explains them.

Labels come from closed sets only: never a project, a key or a model name that a
tenant chose. One registry, made by `app.py`; nothing here is global.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Summary,
    disable_created_metrics,
)
from prometheus_client.process_collector import ProcessCollector

from gateway.quota.service_tier import ServiceTier
from gateway.telemetry.histogram import Buckets, Histogram

# A series beside each counter and histogram that tells when it was made: nobody asks.
disable_created_metrics()  # type: ignore[no-untyped-call]

# OpenTelemetry's advised buckets for GenAI servers, continued where a reasoning
# model goes on (duration, first token) or is faster than they can show (per token).
_DURATION_S = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
    *(163.84, 327.68, 655.36),
)
_FIRST_TOKEN_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
    *(15, 20, 30, 45, 60),
)
_PER_TOKEN_S = (
    *(0.002, 0.004, 0.006, 0.008),
    *(0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1, 2.5),
)
_STORE_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)

# What a schema check or a settlement takes, and what a queue or a generation does.
_STATION_S = (0.0005, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30, 120, 600)
# Powers of four, from a word to the whole context.
_TOKENS = tuple(4**n for n in range(1, 10))
_WAIT_S = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 7.5, 10, 15, 30, 60, 120)

_LAG_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1)

_GEN_AI = ("gen_ai_operation_name", "gen_ai_request_model", "gen_ai_provider_name")


Labels = TypeVar("Labels", bound="str | tuple[str, ...]")
Series = TypeVar("Series")


class ByLabel(dict[Labels, Series]):
    """The series of a metric by its label or labels, each found once: `labels()` costs more than counting."""

    def __init__(self, find: Callable[..., Series]) -> None:
        """*find* is told the label, or the labels one by one."""
        super().__init__()
        self._find: Callable[..., Series] = find

    def __missing__(self, labels: Labels) -> Series:
        found = self[labels] = self._find(*((labels,) if isinstance(labels, str) else labels))
        return found


OUTCOMES: Final = (
    *("ok", "incomplete", "client_cancel", "client_error", "limited"),
    *("overloaded", "upstream", "store", "internal"),
)
CUT_BY: Final = ("worker", "drain", "timeout", "internal", "other")


class Metrics:
    def __init__(self, registry: CollectorRegistry, *, model: str) -> None:
        ProcessCollector(registry=registry)
        http_requests = Counter(
            "gw_http_requests",
            "HTTP requests answered",
            ("route", "code", "stream"),
            registry=registry,
        )
        self.http_requests: ByLabel[tuple[str, ...], Counter] = ByLabel(http_requests.labels)
        outcomes = Counter(
            "gw_outcomes", "How requests for responses ended", ("outcome",), registry=registry
        )
        self.outcomes: ByLabel[str, Counter] = ByLabel(outcomes.labels)
        self.rejections = Counter(
            "gw_rejections",
            "Requests refused or failed, by the error's code",
            ("reason",),
            registry=registry,
        )
        authentications = Counter(
            "gw_authentications",
            "How authentications ended; stale: by what was known, because Redis does not answer",
            ("result",),
            registry=registry,
        )
        self.authentications: ByLabel[str, Counter] = ByLabel(authentications.labels)
        self.streams_cut = Counter(
            "gw_streams_cut",
            "Streams that had begun and were ended with an error, by whose doing it was: worker,"
            " drain, timeout, internal or other",
            ("by",),
            registry=registry,
        )
        tokens = Counter(
            "gw_tokens",
            "Tokens of ended responses; cached is a part of input, reasoning of output",
            ("type",),
            registry=registry,
        )
        self.tokens: ByLabel[str, Counter] = ByLabel(tokens.labels)
        request_tokens = Histogram(
            "gw_request_tokens",
            "Tokens of one response: input and output",
            ("type",),
            buckets=_TOKENS,
            registry=registry,
        )
        self._request_tokens: ByLabel[str, Buckets] = ByLabel(request_tokens.labels)
        self.in_flight = Gauge(
            "gw_inflight_requests", "Responses that are being generated", registry=registry
        )
        queue_wait_s = Histogram(
            "gw_queue_wait_seconds",
            "From a request's reservation until a worker had a place for it",
            ("tier",),
            buckets=_WAIT_S,
            registry=registry,
        )
        self.queue_wait_s: ByLabel[str, Buckets] = ByLabel(queue_wait_s.labels)
        self.queue_refusals = Counter(
            "gw_queue_refusals",
            "Requests refused because the workers are busy: project_full, full, displaced or timeout",
            ("tier", "reason"),
            registry=registry,
        )
        gen_ai = ("chat", model, "llm-gateway")  # the words for _GEN_AI
        durations = Histogram(
            "gen_ai_server_request_duration_seconds",
            "From the request's arrival to the last byte of its answer",
            (*_GEN_AI, "error_type"),
            buckets=_DURATION_S,
            registry=registry,
        )
        self._durations: ByLabel[str, Buckets] = ByLabel(
            lambda word: durations.labels(*gen_ai, word)
        )
        self.first_token_s = Histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "From the request's arrival to the first token of its answer",
            _GEN_AI,
            buckets=_FIRST_TOKEN_S,
            registry=registry,
        ).labels(*gen_ai)
        self.per_token_s = Histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "Mean time between the tokens of one answer, after its first",
            _GEN_AI,
            buckets=_PER_TOKEN_S,
            registry=registry,
        ).labels(*gen_ai)
        self.longest_gap_s = Histogram(
            "gw_stream_longest_gap_seconds",
            "The longest time between two chunks of one stream: what somebody who reads along feels",
            buckets=_DURATION_S,
            registry=registry,
        ).labels()
        stations_s = Histogram(
            "gw_station_seconds",
            "How long requests were at each of the gateway's stations",
            ("station",),
            buckets=_STATION_S,
            registry=registry,
        )
        self._stations_s: ByLabel[str, Buckets] = ByLabel(stations_s.labels)
        store_s = Histogram(
            "gw_store_op_seconds",
            "Round trips to Redis",
            ("op", "result"),
            buckets=_STORE_S,
            registry=registry,
        )
        self.store_s: ByLabel[tuple[str, ...], Buckets] = ByLabel(store_s.labels)
        self.store_mode = Gauge(
            "gw_store_mode",
            "0: Redis answers; 1: it answers again, and is watched; 2: nobody asks it, requests are"
            " admitted by what this gateway knows",
            registry=registry,
        )
        self.degraded_admits = Counter(
            "gw_degraded_admits",
            "Requests admitted without Redis, by what may be exceeded: rates, soft_budget, hard_budget",
            ("concern",),
            registry=registry,
        )
        self.replicas = Gauge(
            "gw_replicas", "Gateways that there are, as Redis knows them", registry=registry
        )
        self.denylisted = Gauge(
            "gw_denylist_entries", "Ids in GATEWAY_DENYLIST_FILE", registry=registry
        )
        self.dropped = Counter(
            "gw_dropped",
            "What requests were served without: tools that are no functions, references to items,"
            " calls that the request does not allow",
            ("kind",),
            registry=registry,
        )
        self._schema_checks_s = Histogram(
            "gw_schema_check_seconds",
            "Checks whether schemas can be enforced, of requests whose schemas were not known yet",
            ("result",),
            buckets=_STORE_S,
            registry=registry,
        )
        settle_verdicts = Counter(
            "gw_settle_verdicts",
            "What Redis answered to settlements; all but settled and duplicate should be rare",
            ("verdict",),
            registry=registry,
        )
        self.settle_verdicts: ByLabel[str, Counter] = ByLabel(settle_verdicts.labels)
        self.settlements_undurable = Gauge(
            "gw_settlements_undurable",
            "Settlements that Redis has acknowledged and may still lose; said again if it does",
            registry=registry,
        )
        self.spool_bytes = Gauge(
            "gw_spool_bytes",
            "Settlements on disk, because Redis does not take them",
            registry=registry,
        )
        self.settlements_quarantined = Counter(
            "gw_settlements_quarantined",
            "Settlements too old to be charged without looking; kept beside the spool",
            registry=registry,
        )
        self.leases_renewed = Counter(
            "gw_leases_renewed",
            "Leases renewed; unknown: they had ended before; failed: Redis did not answer",
            ("result",),
            registry=registry,
        )
        self.leases_reaped = Counter(
            "gw_leases_reaped",
            "Leases settled for gateways that are gone",
            registry=registry,
        )
        self.shadow_refusals = Counter(
            "gw_shadow_refusals",
            "Requests admitted though a quota in shadow mode would have refused them",
            ("quota", "scope"),
            registry=registry,
        )
        self.settlements_lost = Counter(
            "gw_settlements_lost",
            "Settlements given up because too many were pending; unbilled tokens",
            registry=registry,
        )
        self.worker_failures = Counter(
            "gw_worker_failures",
            "Generations that a worker failed",
            ("worker", "reason"),
            registry=registry,
        )
        worker_attempts = Counter(
            "gw_worker_attempts",
            "Generations that a worker was asked for, takeovers included",
            ("worker",),
            registry=registry,
        )
        self.worker_attempts: ByLabel[str, Counter] = ByLabel(worker_attempts.labels)
        worker_first_token_s = Summary(
            "gw_worker_first_token_seconds",
            "From asking a worker to its first token",
            ("worker",),
            registry=registry,
        )
        self.worker_first_token_s: ByLabel[str, Summary] = ByLabel(worker_first_token_s.labels)
        worker_per_token_s = Summary(
            "gw_worker_time_per_token_seconds",
            "Mean time between the tokens of one answer, of those that one worker gave alone",
            ("worker",),
            registry=registry,
        )
        self.worker_per_token_s: ByLabel[str, Summary] = ByLabel(worker_per_token_s.labels)
        self._of_workers: Sequence[Counter | Summary] = (
            self.worker_failures,
            worker_attempts,
            worker_first_token_s,
            worker_per_token_s,
        )
        self.worker_takeovers = Counter(
            "gw_worker_takeovers",
            "Generations that another worker took over: before_first_token or mid_stream",
            ("when",),
            registry=registry,
        )
        self._spans = Counter(
            "gw_trace_spans",
            "Spans that have reached the collector (exported), or have not (failed)",
            ("result",),
            registry=registry,
        )
        self.draining = Gauge(
            "gw_draining", "1 from SIGTERM until the process ends", registry=registry
        )
        self.loop_lag_s = Histogram(
            "gw_loop_lag_seconds",
            "How late the event loop was for an appointment, ten times a second",
            buckets=_LAG_S,
            registry=registry,
        ).labels()
        self._build_info = Gauge(
            "gw_build_info", "Always 1; the version is a label", ("version",), registry=registry
        )

        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """Make the series that alerts ask for: a rate cannot see the first of what was not there."""
        begin: tuple[tuple[Callable[[str], object], Sequence[str]], ...] = (
            (self.outcomes.__getitem__, OUTCOMES),
            (self.tokens.__getitem__, ("input", "cached", "output", "reasoning")),
            (self.settle_verdicts.__getitem__, ("settled", "adjusted", "lost", "duplicate")),
            (self.streams_cut.labels, CUT_BY),
            (self.worker_takeovers.labels, ("before_first_token", "mid_stream")),
            (self.degraded_admits.labels, ("rates", "soft_budget", "hard_budget")),
            (self.leases_renewed.labels, ("renewed", "unknown", "failed")),
        )
        for make, words in begin:
            for word in words:
                make(word)
        for tier in ServiceTier:
            for reason in ("project_full", "full", "displaced", "timeout"):
                self.queue_refusals.labels(tier.value, reason)

    def set_version(self, version: str) -> None:
        self._build_info.labels(version).set(1)

    def request_duration(
        self, seconds: float, error_type: str, exemplar: dict[str, str] | None
    ) -> None:
        """*error_type*: one of OUTCOMES, "" for an answer. Each is a histogram of its own, so the
        errors' many codes are counted elsewhere (`rejections`)."""
        self._durations[error_type].observe(seconds, exemplar)

    def request_tokens(self, kind: str, tokens: int) -> None:
        """*kind*: input or output."""
        self._request_tokens[kind].observe(tokens)

    def station(self, station: str, seconds: float) -> None:
        self._stations_s[station].observe(seconds)

    def spans_sent(self, result: str, count: int) -> None:
        """From any thread."""
        self._spans.labels(result).inc(count)

    def schema_checked(self, result: str, seconds: float) -> None:
        self._schema_checks_s.labels(result).observe(seconds)

    def forget_worker(self, address: str) -> None:
        """It has long been gone: end its series, or there would be more every day."""
        for found in (self.worker_attempts, self.worker_first_token_s, self.worker_per_token_s):
            found.pop(address, None)
        for metric in self._of_workers:
            metric.remove_by_labels({"worker": address})

    def store_operation(self, operation: str, result: str, seconds: float) -> None:
        self.store_s[operation, result].observe(seconds)
