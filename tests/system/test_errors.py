"""Bad input: each kind has its status, type, code, param and a sentence."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.stack.demo import Tenant
from tests.stack.product import Product

BODY = {"model": "gpt-oss-120b", "input": "hi"}


@pytest.fixture(scope="module")
def tenant(product: Product) -> Tenant:
    return product.new_project()


def send(
    product: Product,
    tenant: Tenant,
    *,
    method: str = "POST",
    path: str = "/v1/responses",
    headers: dict[str, str] | None = None,
    **body: Any,
) -> httpx.Response:
    return httpx.request(
        method,
        product.url + path,
        headers={"authorization": f"Bearer {tenant.key}", **(headers or {})},
        timeout=30,
        **(body or {"json": BODY}),
    )


@pytest.mark.parametrize(
    ("request_", "status", "type_", "code", "param"),
    [
        ({"content": b"{"}, 400, "invalid_request_error", "invalid_json", None),
        ({"content": b"[]"}, 400, "invalid_request_error", "invalid_type", None),
        ({"content": b""}, 400, "invalid_request_error", "invalid_json", None),
        (
            {"content": b'{"model":"gpt-oss-120b","input":"\\ud800"}'},
            *(400, "invalid_request_error", "invalid_unicode", "input"),
        ),
        (
            {"json": {"input": "hi"}},
            *(400, "invalid_request_error", "missing_required_parameter", "model"),
        ),
        (
            {"json": {**BODY, "max_output_tokens": 131_073}},
            *(400, "invalid_request_error", "integer_above_max_value", "max_output_tokens"),
        ),
        (
            {"json": {**BODY, "input": "a b " * 70_000}},
            *(400, "invalid_request_error", "context_length_exceeded", "input"),
        ),
        (
            {"json": {**BODY, "truncation": "auto"}},
            *(400, "invalid_request_error", "unsupported_value", "truncation"),
        ),
        (
            {"json": {**BODY, "model": "gpt-5"}},
            *(404, "invalid_request_error", "model_not_found", "model"),
        ),
        (
            {"headers": {"authorization": ""}},
            *(401, "authentication_error", "invalid_api_key", None),
        ),
        (
            {"headers": {"authorization": "Basic eDp5"}},
            *(401, "authentication_error", "invalid_api_key", None),
        ),
        (
            {"headers": {"authorization": "Bearer sk-nonsense"}},
            *(401, "authentication_error", "invalid_api_key", None),
        ),
        (
            {"path": "/prj_of_nobody/v1/responses"},
            *(403, "permission_error", "project_forbidden", None),
        ),
        (
            {"path": "/x%7D:y/v1/responses"},
            *(403, "permission_error", "project_forbidden", None),
        ),
        ({"path": "/v1/nothing"}, 404, "invalid_request_error", "not_found", None),
        ({"path": "/"}, 404, "invalid_request_error", "not_found", None),
        ({"path": "/v1/responses/"}, 404, "invalid_request_error", "not_found", None),
        (
            {"method": "GET", "path": "/v1/responses/0192f0c1-7d5e-7000-8000-000000000001"},
            *(404, "invalid_request_error", "not_found", None),
        ),
        ({"method": "GET"}, 405, "invalid_request_error", "method_not_allowed", None),
        (
            {"headers": {"content-encoding": "gzip"}},
            *(415, "invalid_request_error", "unsupported_media_type", None),
        ),
        (
            {"headers": {"content-type": "text/plain"}, "content": b"hi"},
            *(415, "invalid_request_error", "unsupported_media_type", None),
        ),
        (
            {"content": b" " * (16 * 1024 * 1024 + 1)},
            *(413, "invalid_request_error", "request_too_large", None),
        ),
    ],
)
def test_an_error_has_all_four_fields_and_an_id(
    product: Product,
    tenant: Tenant,
    request_: dict[str, Any],
    status: int,
    type_: str,
    code: str,
    param: str | None,
) -> None:
    answer = send(product, tenant, **request_)

    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["code"], error["param"]) == (
        *(status, type_, code),
        param,
    )
    assert set(error) == {"message", "type", "code", "param"}
    assert error["message"].endswith((".", "'"))
    assert answer.headers["x-request-id"]
    assert tenant.key not in answer.text


def test_a_project_that_is_not_there_reads_like_one_that_is_not_yours(
    product: Product, tenant: Tenant
) -> None:
    not_mine = send(product, tenant, path=f"/{product.new_project().project_id}/v1/responses")
    not_there = send(product, tenant, path="/prj_0000000000000000000000/v1/responses")
    assert (not_mine.status_code, not_mine.content) == (not_there.status_code, not_there.content)


def test_a_body_of_unknown_length_is_counted_as_it_comes(product: Product, tenant: Tenant) -> None:
    def endless() -> Any:
        for _ in range(40):
            yield b" " * 1024 * 1024

    try:
        status = send(product, tenant, content=endless()).status_code
    except httpx.TransportError:
        status = 413  # the connection was closed while we were still sending
    assert status == 413


def test_a_request_may_bring_its_own_id(product: Product, tenant: Tenant) -> None:
    answer = send(product, tenant, headers={"x-request-id": "my-id-1"})
    assert answer.headers["x-request-id"] == "my-id-1"
    for harmful in ("x" * 500, "a b", tenant.key, f"id-{tenant.key[:-3]}"):
        told = send(product, tenant, headers={"x-request-id": harmful}).headers["x-request-id"]
        assert told.startswith("req_")


def test_what_is_no_http_disturbs_nobody(product: Product, tenant: Tenant) -> None:
    address = urlsplit(product.url)
    assert address.hostname
    assert address.port
    with socket.create_connection((address.hostname, address.port), timeout=5) as raw:
        raw.sendall(b"\x16\x03\x01 this is not http\r\n\r\n")
        raw.recv(1000)
    assert send(product, tenant).status_code == 200
