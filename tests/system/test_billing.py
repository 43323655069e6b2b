"""What is charged is what was generated: exactly, once, however a request ends."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from redis import Redis

from tests.stack.demo import Tenant
from tests.stack.product import Product
from tests.system.http import create, simulate, streamed
from tests.system.waiting import wait_until


def leases(product: Product, tenant: Tenant) -> int:
    """Requests of a project that hold a place of its concurrency."""
    with Redis.from_url(product.redis_url) as redis:
        return int(redis.zcard(f"gw:{{{tenant.project_id}}}:lz"))


def test_the_usage_report_is_the_sum_of_what_the_answers_said(product: Product) -> None:
    tenant = product.new_project()
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(lambda n: create(product.url, tenant, input=f"Count to {n}"), range(20))
        )

    usages = [answer.json()["usage"] for answer in answers]
    assert product.usage(tenant.project_id) == {
        "requests": 20,
        "input_tokens": sum(usage["input_tokens"] for usage in usages),
        "cached_tokens": sum(usage["input_tokens_details"]["cached_tokens"] for usage in usages),
        "output_tokens": sum(usage["output_tokens"] for usage in usages),
        "reasoning_tokens": sum(
            usage["output_tokens_details"]["reasoning_tokens"] for usage in usages
        ),
    }
    assert leases(product, tenant) == 0


def test_a_client_that_leaves_pays_for_what_was_generated_and_frees_the_engine(
    product: Product,
) -> None:
    tenant = product.new_project(concurrent_requests=1)
    endless = simulate(repeat=100_000, tokens_per_second=200)
    with streamed(product.url, tenant, input=endless, max_output_tokens=100_000) as events:
        for event in events:
            if event["type"] == "response.output_text.delta":
                break
        assert product.worker_metric("worker_running_requests") == 1
        assert leases(product, tenant) == 1

    wait_until(lambda: leases(product, tenant) == 0, "the lease was gone")
    wait_until(
        lambda: product.worker_metric("worker_running_requests") == 0, "the engine had stopped"
    )
    usage = product.usage(tenant.project_id)
    assert usage["requests"] == 1
    assert usage["input_tokens"] > 0
    # Some were generated; far fewer than were asked for.
    assert 0 < usage["output_tokens"] < 10_000
    # The only place of the project is free again.
    assert create(product.url, tenant).status_code == 200


def test_a_client_that_leaves_a_whole_answer_frees_the_engine_too(product: Product) -> None:
    tenant = product.new_project()
    endless = simulate(repeat=100_000, tokens_per_second=200)
    with ThreadPoolExecutor(1) as threads:
        import httpx

        def impatient() -> str:
            try:
                httpx.post(
                    f"{product.url}/v1/responses",
                    headers={"authorization": f"Bearer {tenant.key}"},
                    json={"model": "gpt-oss-120b", "input": endless, "max_output_tokens": 100_000},
                    timeout=1,
                )
            except httpx.ReadTimeout:
                return "left"
            return "answered"

        assert threads.submit(impatient).result() == "left"

    wait_until(lambda: leases(product, tenant) == 0, "the lease was gone")
    wait_until(
        lambda: product.worker_metric("worker_running_requests") == 0, "the engine had stopped"
    )
    assert product.usage(tenant.project_id)["output_tokens"] > 0


def test_a_response_that_fails_before_its_first_token_costs_nothing(product: Product) -> None:
    tenant = product.new_project()
    assert create(product.url, tenant, input=simulate(fail_after=0)).status_code == 500

    wait_until(lambda: leases(product, tenant) == 0, "the lease was gone")
    usage = product.usage(tenant.project_id)
    assert (usage.get("input_tokens", 0), usage.get("output_tokens", 0)) == (0, 0)


def test_a_response_that_fails_later_is_charged_what_it_gave(product: Product) -> None:
    tenant = product.new_project()
    with streamed(product.url, tenant, input=simulate(fail_after=30)) as events:
        last = list(events)[-1]

    assert last["type"] == "response.failed"
    usage = last["response"]["usage"]
    assert usage["output_tokens"] == 30
    wait_until(lambda: leases(product, tenant) == 0, "the lease was gone")
    assert product.usage(tenant.project_id)["output_tokens"] == 30


def test_a_refused_request_costs_nothing(product: Product) -> None:
    tenant = product.new_project(tokens_per_minute=1000)
    assert create(product.url, tenant, max_output_tokens=5000).status_code == 429
    assert product.usage(tenant.project_id) == {}
