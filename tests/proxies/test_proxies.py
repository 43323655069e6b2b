"""Real proxies, set as the chart sets them: streams are whole, nothing is changed, leaving is heard."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.proxies.proxy import KINDS, UNSET, Proxy, running_proxy
from tests.stack.demo import Tenant
from tests.stack.product import FAST_SIMULATOR, Product, running_product
from tests.system.http import MODEL, simulate
from tests.system.waiting import wait_until

_PACE = 20  # tokens a second
_LONG_S = 18  # Envoy's default cuts at 15
_TOKENS = _PACE * _LONG_S


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with running_product(
        tmp_path_factory.mktemp("product"),
        worker_env=FAST_SIMULATOR,
        gateway_env={"GATEWAY_TRUSTED_PROXY_HOPS": "1", "GATEWAY_KEEP_ALIVE_S": "1"},
    ) as running:
        yield running


@pytest.fixture(scope="module")
def proxies(
    product: Product, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Proxy]]:
    port = urlsplit(product.url).port
    assert port is not None
    with ExitStack() as running:
        yield {
            kind: running.enter_context(
                running_proxy(
                    kind, port, tmp_path_factory.mktemp("proxies") / kind.replace(" ", "-")
                )
            )
            for kind in (*KINDS, *UNSET)
        }


@pytest.fixture(params=KINDS)
def proxy(proxies: dict[str, Proxy], request: pytest.FixtureRequest) -> Proxy:
    return proxies[request.param]


@dataclass
class Heard:
    """A stream, as its client heard it."""

    events: list[dict[str, Any]] = field(default_factory=list)
    came_at_s: list[float] = field(default_factory=list)  # since the request, each event
    comments: int = 0
    cut: Exception | None = None  # instead of an end

    def longest_gap_s(self) -> float:
        return max(
            after - before
            for before, after in zip(self.came_at_s, self.came_at_s[1:], strict=False)
        )


def _listen(proxy: Proxy, tenant: Tenant, **directive: Any) -> Heard:
    heard, began = Heard(), time.monotonic()
    body = {"model": MODEL, "stream": True, "temperature": 0, "input": simulate(**directive)}
    with (
        proxy.client(tenant.key) as client,
        client.stream("POST", "/v1/responses", json=body) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        assert answer.http_version == "HTTP/2"
        try:
            for line in answer.iter_lines():
                if line.startswith("data: {"):
                    heard.events.append(json.loads(line.removeprefix("data: ")))
                    heard.came_at_s.append(time.monotonic() - began)
                heard.comments += line.startswith(":")
        except httpx.HTTPError as exc:
            heard.cut = exc
    return heard


@pytest.fixture(scope="module")
def long_streams(product: Product, proxies: dict[str, Proxy]) -> dict[str, Heard]:
    """The same stream of 18 s through each, all at once."""
    tenant = product.new_project()
    directive = {"reasoning": "", "repeat": _TOKENS, "tokens_per_second": _PACE}
    with ThreadPoolExecutor(len(proxies)) as threads:
        listening = {
            kind: threads.submit(_listen, proxy, tenant, **directive)
            for kind, proxy in proxies.items()
        }
        return {kind: each.result() for kind, each in listening.items()}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", [*KINDS, "nginx unset"])
def test_a_long_stream_arrives_whole_and_event_by_event(
    long_streams: dict[str, Heard], kind: str
) -> None:
    heard = long_streams[kind]
    assert heard.cut is None
    assert [event["sequence_number"] for event in heard.events] == list(range(len(heard.events)))
    assert heard.events[-1]["type"] == "response.completed"
    assert heard.came_at_s[-1] > _LONG_S - 1
    # Gathered, they would come in one go or a few; nginx too, but for our X-Accel-Buffering.
    assert heard.longest_gap_s() < 5
    moments = {round(at_s, 2) for at_s in heard.came_at_s}
    assert len(moments) > len(heard.events) / 2


@pytest.mark.timeout(120)
def test_what_the_chart_sets_is_what_keeps_envoy_from_cutting(
    long_streams: dict[str, Heard],
) -> None:
    heard = long_streams["envoy unset"]
    assert heard.cut is not None
    assert heard.events[-1]["type"] == "response.output_text.delta"
    assert heard.came_at_s[-1] < _LONG_S - 1


def test_comments_keep_a_silent_stream_open(product: Product, proxy: Proxy) -> None:
    heard = _listen(proxy, product.new_project(), first_token_ms=3500, text="At last.")
    assert heard.comments >= 2
    assert heard.events[-1]["response"]["output_text"] == "At last."


def test_a_client_that_leaves_frees_the_engine_and_pays_for_what_it_got(
    product: Product, proxy: Proxy
) -> None:
    tenant = product.new_project()
    body = {"model": MODEL, "stream": True, "input": simulate(repeat=100_000, tokens_per_second=50)}
    with (
        proxy.client(tenant.key) as client,
        client.stream("POST", "/v1/responses", json=body) as answer,
    ):
        for line in answer.iter_lines():
            if "response.output_text.delta" in line:
                break
        assert product.worker_metric("worker_running_requests") == 1
    wait_until(lambda: product.worker_metric("worker_running_requests") == 0, "the engine was free")
    wait_until(
        lambda: product.usage(tenant.project_id).get("requests") == 1, "the request was charged"
    )
    assert 0 < product.usage(tenant.project_id)["output_tokens"] < 100_000


def test_a_whole_answer_that_takes_its_time_arrives(product: Product, proxy: Proxy) -> None:
    tenant = product.new_project()
    asked = simulate(reasoning="", repeat=80, tokens_per_second=20)
    with proxy.client(tenant.key) as client:
        answer = client.post("/v1/responses", json={"model": MODEL, "input": asked})
    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["output_tokens"] >= 80


def test_refusals_and_their_headers_pass_unchanged(product: Product, proxy: Proxy) -> None:
    tenant = product.new_project(requests_per_minute=1)
    hello = {"model": MODEL, "input": "Hello"}
    with proxy.client(tenant.key) as client:
        first = client.post("/v1/responses", json=hello)
        refused = client.post("/v1/responses", json=hello)
        unknown = client.post(
            "/v1/responses", json=hello, headers={"authorization": "Bearer gwk_nobody"}
        )
    assert first.headers["x-ratelimit-limit-requests"] == "1"
    assert first.headers["x-request-id"]
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert int(refused.headers["retry-after"]) > 0
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize("too_many_bytes", [1, 8 * 1024 * 1024])
def test_a_body_that_is_too_large_gets_our_own_refusal(
    product: Product, proxy: Proxy, too_many_bytes: int
) -> None:
    tenant = product.new_project()
    head, tail = b'{"model": "gpt-oss-120b", "input": "', b'"}'
    padding = b" " * (16 * 1024 * 1024 + too_many_bytes - len(head) - len(tail))
    # As OpenAI's clients come. Over HTTP/2 proxies answer and reset the stream, which clients that
    # are still sending take for an error of the connection.
    with proxy.client(tenant.key, http2=False) as client:
        answer = client.post(
            "/v1/responses",
            content=head + padding + tail,
            headers={"content-type": "application/json"},
        )
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "request_too_large"


def test_a_large_body_arrives(product: Product, proxy: Proxy) -> None:
    tenant = product.new_project()
    words = "The sky is blue. " * 20_000
    with proxy.client(tenant.key) as client:
        answer = client.post("/v1/responses/input_tokens", json={"model": MODEL, "input": words})
    assert answer.status_code == 200, answer.text
    assert answer.json()["input_tokens"] > 80_000


def test_the_address_is_the_clients_and_not_what_it_claims(product: Product, proxy: Proxy) -> None:
    tenant = product.new_project()

    def ask(*source_cidrs: str, **headers: str) -> int:
        key = product.admin(
            "POST",
            f"/v1/organization/projects/{tenant.project_id}/api_keys",
            json={"name": "bound", "source_cidrs": source_cidrs},
        )["value"]
        with proxy.client(key) as client:
            hello = {"model": MODEL, "input": "Hello"}
            return client.post("/v1/responses", json=hello, headers=headers).status_code

    # Envoy says of a client on its own machine which address the machine has elsewhere.
    all_but_claimed = ("0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/5", "200.0.0.0/7", "fc00::/7")
    assert ask(*all_but_claimed) == 200
    assert ask("203.0.113.0/24", **{"x-forwarded-for": "203.0.113.7"}) == 401
