"""HTTP itself: who connects without a key, with too much, too little, or in an old way."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.stack.demo import Tenant
from tests.stack.product import Product, running_product
from tests.system.http import MODEL, create, simulate
from tests.system.waiting import wait_until

HEADER_TIMEOUT_S = 1
MAX_BODY_BYTES = 1024 * 1024
ENDLESS: dict[str, Any] = {
    "input": simulate(repeat=100_000, tokens_per_second=50),
    "max_output_tokens": 100_000,
}


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """One with a short patience, and with room for two bodies of a project."""
    with running_product(
        tmp_path_factory.mktemp("http"),
        gateway_env={
            "GATEWAY_HEADER_TIMEOUT_S": str(HEADER_TIMEOUT_S),
            "GATEWAY_MAX_BODY_BYTES": str(MAX_BODY_BYTES),
            "GATEWAY_MAX_BUFFERED_BYTES": str(8 * MAX_BODY_BYTES),
            "GATEWAY_KEEP_ALIVE_S": "1",
        },
    ) as running:
        yield running


@pytest.fixture(scope="module")
def tenant(product: Product) -> Tenant:
    return product.new_project()


@contextmanager
def connected(product: Product) -> Iterator[socket.socket]:
    address = urlsplit(product.url)
    assert address.hostname
    assert address.port
    with socket.create_connection((address.hostname, address.port), timeout=20) as raw:
        yield raw


def head(tenant: Tenant, *headers: str, length: int, version: str = "1.1") -> bytes:
    lines = (
        f"POST /v1/responses HTTP/{version}",
        "host: gateway",
        f"authorization: Bearer {tenant.key}",
        f"content-length: {length}",
        *headers,
    )
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


def post(tenant: Tenant, *headers: str, version: str = "1.1", **fields: Any) -> bytes:
    body = json.dumps({"model": MODEL, "input": "Hello", **fields}).encode()
    return head(tenant, *headers, length=len(body), version=version) + body


def all_of(raw: socket.socket) -> bytes:
    """What the gateway sends until it closes."""
    received = b""
    while data := raw.recv(65536):
        received += data
    return received


def until(raw: socket.socket, expected: bytes) -> bytes:
    received = b""
    while expected not in received:
        data = raw.recv(65536)
        assert data, f"closed before {expected!r}, after {received!r}"
        received += data
    return received


def refusal(answer: bytes) -> tuple[int, str]:
    """Status and code, of an answer that is JSON and has an id."""
    top, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nx-request-id: req_" in top
    assert b"\r\nconnection: close" in top
    assert b"\r\ncontent-type: application/json" in top
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "code", "param"}
    return int(top.split()[1]), error["code"]


@pytest.mark.parametrize(
    "start",
    [
        b"GET / HTTP/1.1\r\na: ",  # one value, without an end
        b"GET / HTTP/1.1\r\n",  # many headers
        b"GET /",  # a path
    ],
)
def test_headers_without_an_end_are_refused_at_64_kb(product: Product, start: bytes) -> None:
    endless = b"a: b\r\n" * 50_000 if start.endswith(b"\n") else b"x" * 300_000
    with connected(product) as raw:
        raw.sendall(start + endless)
        last = all_of(raw).rpartition(b"HTTP/1.1 ")[2]
    assert refusal(b"HTTP/1.1 " + last) == (431, "request_headers_too_large")


def test_trailers_without_an_end_end_the_connection(product: Product) -> None:
    with connected(product) as raw:
        raw.sendall(b"POST /v1/no HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n")
        until(raw, b'"not_found"}}')
        raw.sendall(b"a: b\r\n" * 50_000)
        assert all_of(raw) == b""


def test_large_headers_are_no_problem_below_that(product: Product) -> None:
    answer = httpx.get(f"{product.url}/openapi.json", headers={"a": "x" * 40_000, "b": "y" * 9000})
    assert answer.status_code == 200


def test_a_connection_without_a_request_is_closed(product: Product) -> None:
    with connected(product) as silent, connected(product) as empty_lines:
        empty_lines.sendall(b"\r\n\r\n")
        assert all_of(silent) == b""
        assert all_of(empty_lines) == b""


def test_half_a_head_is_answered_and_closed_in_time(product: Product) -> None:
    with connected(product) as raw:
        raw.sendall(b"GET /v1/models HTTP/1.1\r\nhost: gate")
        assert refusal(all_of(raw)) == (408, "request_timeout")


def test_a_connection_that_is_kept_waits_longer_for_its_next_request(product: Product) -> None:
    request = b"GET /v1/models HTTP/1.1\r\nhost: gateway\r\n\r\n"
    with connected(product) as raw:
        raw.sendall(request)
        until(raw, b'"invalid_api_key"}}')
        with connected(product) as other:
            assert all_of(other) == b""  # which takes as long as a new connection may
        raw.sendall(request)
        until(raw, b'"invalid_api_key"}}')


@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize(
    "connection", ["connection: Upgrade, HTTP2-Settings", "connection: close, upgrade"]
)
def test_a_client_that_offers_http_2_is_answered_with_1_1(
    product: Product, tenant: Tenant, connection: str, pieces: int
) -> None:
    offer = (
        connection,
        "upgrade: h2c",
        "http2-settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    )
    request = post(tenant, *offer)
    middle = len(request) // pieces
    with connected(product) as raw:
        raw.sendall(request[:middle])
        raw.sendall(request[middle:])
        answer = until(raw, b'"status":"completed"')
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_stream_in_http_1_0_has_no_chunks_and_ends_with_its_connection(
    product: Product, tenant: Tenant
) -> None:
    with connected(product) as raw:
        raw.sendall(post(tenant, version="1.0", stream=True))
        top, _, body = all_of(raw).partition(b"\r\n\r\n")
    assert b"chunked" not in top
    assert b"\r\nconnection: close" in top
    assert body.startswith(b"event: response.created\n")
    assert body.endswith(b"\ndata: [DONE]\n\n")


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x16\x03\x01 this is not http\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_no_http_is_told_so_in_json(product: Product, rubbish: bytes) -> None:
    with connected(product) as raw:
        raw.sendall(rubbish)
        assert refusal(all_of(raw)) == (400, "invalid_http")


def test_what_is_no_http_is_in_the_log_by_the_id_that_its_client_was_told(product: Product) -> None:
    def counted() -> list[float]:
        return [
            product.metric("gw_rejections_total", reason="invalid_http"),
            product.metric("gw_http_requests_total", route="other", code="400", stream="false"),
        ]

    before = counted()
    with connected(product) as raw:
        raw.sendall(b"GET / HTTP/9.9\r\n\r\n")
        answer = all_of(raw)
    (told,) = re.findall(rb"x-request-id: (\S+)", answer)

    def written() -> list[dict[str, Any]]:
        return [each for each in product.log_lines() if each.get("request_id") == told.decode()]

    wait_until(lambda: written() != [], "it was in the log")
    (line,) = written()
    assert (line["msg"], line["status"], line["code"]) == ("request refused", 400, "invalid_http")
    assert counted() == [each + 1 for each in before]


def test_a_body_that_is_no_http_is_told_so_in_json(product: Product, tenant: Tenant) -> None:
    request = head(tenant, "transfer-encoding: chunked", length=0)
    with connected(product) as raw:
        raw.sendall(request.replace(b"content-length: 0\r\n", b"") + b"zz\r\n")
        assert refusal(all_of(raw)) == (400, "invalid_http")
    assert create(product.url, tenant).status_code == 200


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_has_said_its_last_byte_is_answered(
    product: Product, tenant: Tenant, stream: bool
) -> None:
    with connected(product) as raw:
        raw.sendall(post(tenant, stream=stream))
        raw.shutdown(socket.SHUT_WR)
        answer = all_of(raw)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"completed" in answer


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_is_noticed_though_it_looks_the_same(
    product: Product, tenant: Tenant, stream: bool
) -> None:
    with connected(product) as raw:
        raw.sendall(post(tenant, stream=stream, **ENDLESS))
        wait_until(lambda: product.metric("gw_inflight_requests") == 1, "it was generated")
    wait_until(lambda: product.metric("gw_inflight_requests") == 0, "it was noticed")


def test_a_second_request_does_not_hide_that_the_client_leaves(
    product: Product, tenant: Tenant
) -> None:
    with connected(product) as raw:
        raw.sendall(post(tenant, stream=True, **ENDLESS) + post(tenant))
        until(raw, b"response.output_text.delta")
        raw.sendall(post(tenant) * 1000)
    wait_until(lambda: product.metric("gw_inflight_requests") == 0, "it was noticed")
    assert product.usage(tenant.project_id)["requests"] > 0


def test_a_second_request_that_does_not_wait_gets_the_first_answer_and_a_close(
    product: Product, tenant: Tenant
) -> None:
    with connected(product) as raw:
        raw.sendall(post(tenant) * 2)
        answer = all_of(raw)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"\r\nconnection: close\r\n" in answer


def test_bodies_that_arrive_together_have_a_budget(product: Product, tenant: Tenant) -> None:
    almost = b" " * (MAX_BODY_BYTES - 1)
    stalled = head(tenant, length=MAX_BODY_BYTES) + almost
    with connected(product) as one, connected(product) as two:
        one.sendall(stalled)
        two.sendall(stalled)
        wait_until(lambda: create(product.url, tenant).status_code == 429, "memory was full")
        refused = create(product.url, tenant)
        assert refused.json()["error"]["code"] == "gateway_overloaded"
        assert refused.headers["retry-after"] == "1"
    wait_until(lambda: create(product.url, tenant).status_code == 200, "there was room again")


@pytest.mark.parametrize(
    "accept",
    [
        "text/plain; version=x; escaping=allow-utf-8",
        "text/plain; version=1.0.0; escaping=allow-utf-8",
        "application/openmetrics-text; version=9.x",
        "application/openmetrics-text; version=9.9.9; escaping=values",
        "application/openmetrics-text; version=1.0.0; escaping=allow-utf-8",
        "text/plain; version",
    ],
)
def test_metrics_are_told_whatever_is_accepted(product: Product, accept: str) -> None:
    answer = httpx.get(f"{product.ops_url}/metrics", headers={"accept": accept})
    assert answer.status_code == 200
    assert "gw_http_requests" in answer.text
