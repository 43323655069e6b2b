"""Traces, as a collector gets them from the gateway and from real Tritons."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.observability.collector import Collector, Span, as_tree, running_collector
from tests.stack.product import Product, running_product
from tests.system.http import MODEL, create, simulate, streamed
from tests.system.waiting import wait_until

CANARY = f"canary-{secrets.token_hex(8)}"

# What Triton is started with to add its spans: the chart, docs/observability.md.
TRITON_FLAGS = (
    "--trace-config=mode=opentelemetry",
    "--trace-config=rate=0",  # only those that come with a trace
    "--trace-config=level=TIMESTAMPS",
    "--trace-config=opentelemetry,resource=service.name=llm-gateway-worker",
)


@dataclass
class Traced:
    product: Product
    collector: Collector

    def trace_of(self, response_id: str) -> list[Span]:
        """The spans of the request that this response answers, once they have come."""

        def request() -> Span | None:
            for span in self.collector.spans:
                if span.attributes.get("gen_ai.response.id") == response_id:
                    return span
            return None

        def whole() -> list[Span]:
            found = request()
            spans = [] if found is None else self.collector.trace(found.trace_id)
            # The request's own span is the last to end, and may come with another batch.
            return spans if any(not span.parent_id for span in spans) else []

        wait_until(lambda: bool(whole()), f"the trace of {response_id} has come")
        return whole()


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    """Two workers; every request is traced, and spans are sent at once."""
    with (
        running_collector() as collector,
        running_product(
            tmp_path_factory.mktemp("traced"),
            workers=2,
            worker_flags=(*TRITON_FLAGS, f"--trace-config=opentelemetry,url={collector.url}"),
            gateway_env={
                "GATEWAY_TRACES_URL": collector.url,
                "GATEWAY_TRACES_SHARE": "1",
                "OTEL_BSP_SCHEDULE_DELAY": "50",
            },
        ) as product,
    ):
        yield Traced(product, collector)


def only(spans: list[Span], name: str) -> Span:
    (found,) = [span for span in spans if span.name == name]
    return found


def test_a_request_is_one_tree_from_the_gateway_into_triton(traced: Traced) -> None:
    tenant = traced.product.new_project()
    answer = create(traced.product.url, tenant, input=CANARY, max_output_tokens=20).json()

    spans = traced.trace_of(answer["id"])
    request = only(spans, "POST /v1/responses")
    stations = [span for span in spans if span.parent_id == request.span_id]
    assert [span.name for span in stations] == [
        *("authenticate", "receive", "validate", "render", "reserve", "queue"),
        *(f"chat {MODEL}", "settle"),
    ]
    assert (request.kind, request.parent_id, request.is_error) == ("SPAN_KIND_SERVER", "", False)
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["llm_gateway.project"] == tenant.project_id

    chat = only(spans, f"chat {MODEL}")
    usage = answer["usage"]
    assert chat.attributes["gen_ai.usage.input_tokens"] == usage["input_tokens"]
    assert chat.attributes["gen_ai.usage.output_tokens"] == usage["output_tokens"]
    assert chat.attributes["gen_ai.response.time_to_first_chunk"] > 0

    attempt = only(spans, "inference.GRPCInferenceService/ModelStreamInfer")
    assert (attempt.parent_id, attempt.kind) == (chat.span_id, "SPAN_KIND_CLIENT")
    wait_until(
        lambda: any(
            span.parent_id == attempt.span_id and span.service == "llm-gateway-worker"
            for span in traced.collector.trace(attempt.trace_id)
        ),
        "Triton's spans are below the attempt's",
    )


def test_the_line_of_the_log_names_the_trace(traced: Traced) -> None:
    answer = create(traced.product.url, traced.product.new_project(), max_output_tokens=5).json()
    trace_id = traced.trace_of(answer["id"])[0].trace_id
    wait_until(
        lambda: any(
            line.get("response_id") == answer["id"] and line.get("trace_id") == trace_id
            for line in traced.product.log_lines()
        ),
        "the log names the trace",
    )


def test_a_takeover_is_two_attempts_below_one_generation(traced: Traced) -> None:
    tenant = traced.product.new_project()
    with streamed(
        traced.product.url, tenant, input=simulate(die_after=3, text="a b c d e f g h")
    ) as events:
        *_, last = events
    if last["type"] != "response.completed":
        pytest.fail(f"the stream ended with {last}")

    spans = traced.trace_of(last["response"]["id"])
    chat = only(spans, f"chat {MODEL}")
    attempts = [span for span in spans if span.parent_id == chat.span_id]
    assert [span.is_error for span in attempts] == [True, False]
    assert attempts[1].attributes["llm_gateway.generated_tokens"] > 0


def test_an_error_is_told_where_it_happened(traced: Traced) -> None:
    refused = httpx.post(
        f"{traced.product.url}/v1/responses",
        headers={"authorization": "Bearer gwk_wrong", "x-request-id": "told-by-its-id"},
        json={"model": MODEL, "input": CANARY},
    )
    assert refused.status_code == 401

    def spans() -> list[Span]:
        return [
            span
            for span in traced.collector.spans
            if span.attributes.get("llm_gateway.request_id") == "told-by-its-id"
        ]

    wait_until(lambda: bool(spans()), "the refusal is traced")  # that span is the last
    (request,) = spans()
    assert request.attributes["error.type"] == "invalid_api_key"
    assert not request.is_error  # the client's, not ours
    below = [s for s in traced.collector.trace(request.trace_id) if s.parent_id]
    assert [span.name for span in below] == ["authenticate"]


def test_a_client_cannot_choose_its_trace(traced: Traced) -> None:
    theirs = secrets.token_hex(16)
    answer = httpx.post(
        f"{traced.product.url}/v1/responses",
        headers={
            "authorization": f"Bearer {traced.product.new_project().key}",
            "traceparent": f"00-{theirs}-{secrets.token_hex(8)}-01",
        },
        json={"model": MODEL, "input": "Hello", "max_output_tokens": 5},
    ).json()
    spans = traced.trace_of(answer["id"])
    request = only(spans, "POST /v1/responses")
    assert request.trace_id != theirs
    assert request.links == [theirs]


def test_traces_know_neither_what_was_said_nor_any_key(traced: Traced) -> None:
    tenant = traced.product.new_project()
    answer = create(
        traced.product.url,
        tenant,
        input=simulate(text=f"say {CANARY}"),
        instructions=CANARY,
        metadata={"note": CANARY},
    )
    assert CANARY in answer.text
    traced.trace_of(answer.json()["id"])
    everything = "\n".join(traced.collector.raw)
    assert CANARY not in everything
    assert tenant.key not in everything
    assert tenant.key.rpartition("_")[2] not in everything


def test_what_reaches_the_collector_is_counted(traced: Traced) -> None:
    create(traced.product.url, traced.product.new_project(), max_output_tokens=5)
    wait_until(
        lambda: traced.product.metric("gw_trace_spans_total", result="exported") > 0,
        "spans are counted",
    )
    assert traced.product.metric("gw_trace_spans_total", result="failed") == 0


def test_a_trace_is_printed_as_a_tree() -> None:
    def span(name: str, span_id: str, parent_id: str, *, is_error: bool = False) -> Span:
        told = {"llm_gateway.tier": "default"} if not parent_id else {}
        return Span("s", name, "k", "t", span_id, parent_id, told, [], is_error, 1_500_000)

    spans = [span("chat", "2", "1"), span("infer", "3", "2", is_error=True), span("POST", "1", "")]
    assert [line.rstrip() for line in as_tree(spans)] == [
        "POST  1.5 ms  llm_gateway.tier=default",
        "  chat  1.5 ms",
        "    infer ERROR  1.5 ms",
    ]
