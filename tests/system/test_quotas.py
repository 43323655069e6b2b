"""Quotas, as a tenant meets them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.stack.product import Product
from tests.system.http import create, simulate, streamed


def test_requests_per_minute_are_counted_and_told(product: Product) -> None:
    tenant = product.new_project(requests_per_minute=8)
    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda _: create(product.url, tenant).status_code, range(8)))
    # A quarter of a minute's worth at once; what regrows in between may let one more in.
    assert 2 <= statuses.count(200) <= 3
    assert statuses.count(200) + statuses.count(429) == 8

    refused = create(product.url, tenant)
    assert refused.status_code == 429
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert refused.headers["x-ratelimit-limit-requests"] == "8"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert 1 <= int(refused.headers["retry-after"]) <= 9  # 7.5 s, or up to a tenth longer


def test_tokens_are_given_back_when_fewer_were_generated(product: Product) -> None:
    tenant = product.new_project(tokens_per_minute=60_000)
    first = create(product.url, tenant, max_output_tokens=10_000)
    used = first.json()["usage"]["total_tokens"]
    second = create(product.url, tenant, max_output_tokens=10_000)

    # A quarter of the limit is there at once; the reservation of the first is given back.
    before = int(first.headers["x-ratelimit-remaining-tokens"])
    after = int(second.headers["x-ratelimit-remaining-tokens"])
    assert before < 15_000 - used
    assert after >= before - used


def test_a_request_larger_than_a_whole_minute_is_told_not_to_retry(product: Product) -> None:
    tenant = product.new_project(tokens_per_minute=1000)
    refused = create(product.url, tenant, max_output_tokens=5000)
    assert refused.status_code == 429
    assert refused.headers["x-should-retry"] == "false"
    assert "Request too large" in refused.json()["error"]["message"]


def test_concurrent_requests_are_limited_and_their_places_come_back(product: Product) -> None:
    tenant = product.new_project(concurrent_requests=2)
    slow = simulate(repeat=100_000, tokens_per_second=50)
    with (
        streamed(product.url, tenant, input=slow, max_output_tokens=100_000) as one,
        streamed(product.url, tenant, input=slow, max_output_tokens=100_000) as two,
    ):
        next(one), next(two)
        refused = create(product.url, tenant)
        assert refused.status_code == 429
        assert "concurrent requests" in refused.json()["error"]["message"]


def test_a_revoked_key_is_refused_with_its_next_request(product: Product) -> None:
    tenant = product.new_project()
    assert create(product.url, tenant).status_code == 200

    product.gwctl("key", "revoke", tenant.key.split("_")[1])

    refused = create(product.url, tenant)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")


def test_every_answer_to_a_known_key_tells_how_the_quotas_stand(product: Product) -> None:
    tenant = product.new_project(requests_per_minute=600, tokens_per_minute=600_000)
    headers = {"authorization": f"Bearer {tenant.key}"}
    answers = [
        httpx.get(f"{product.url}/v1/models", headers=headers),
        create(product.url, tenant, temperature=3),
        create(product.url, tenant, model="gpt-5"),
        create(product.url, tenant),
    ]
    assert [answer.status_code for answer in answers] == [200, 400, 404, 200]
    for answer in answers:
        assert answer.headers["x-ratelimit-limit-requests"] == "600"
        assert int(answer.headers["x-ratelimit-remaining-tokens"]) > 0
