"""Three gateways and one limit: together they admit what one would, to the request and to the token.

Whoever has many keys, many connections, and a habit of leaving early gets no more.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.stack.demo import Tenant
from tests.stack.product import Product, more_gateways
from tests.system.http import create, simulate, streamed
from tests.system.ledger import entries_of

BURST_S = 15
CLIENTS = 12


@pytest.fixture(scope="module")
def urls(product: Product, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The product's gateway and two more."""
    directories = [tmp_path_factory.mktemp("gateway") for _ in range(2)]
    with more_gateways(product, directories) as others:
        yield [product.url, *others]


def hammer(work: Callable[[int], None], until: Callable[[], bool]) -> None:
    """Twelve clients at once, each again and again."""

    def client(number: int) -> None:
        while not until():
            work(number)

    with ThreadPoolExecutor(CLIENTS) as threads:
        list(threads.map(client, range(CLIENTS)))


def test_requests_a_minute_are_admitted_to_the_request(product: Product, urls: list[str]) -> None:
    per_minute = 240
    tenant = product.new_project(requests_per_minute=per_minute)
    statuses: list[int] = []
    stop_at = time.monotonic() + 4

    def ask(number: int) -> None:
        url = urls[number % len(urls)]
        statuses.append(create(url, tenant, max_output_tokens=1).status_code)

    hammer(ask, lambda: time.monotonic() > stop_at)
    assert set(statuses) == {200, 429}
    times = [each["admitted_at_ms"] for each in entries_of(product, tenant)]
    assert len(times) == statuses.count(200)
    # A bucket of 15 s that fills at the rate, by Redis's own clock: any stretch of the ledger
    # holds no more; the whole of it no less, for somebody asked all the time.
    burst, per_ms = per_minute * BURST_S / 60, per_minute / 60_000
    for first in range(len(times)):
        for last in range(first, len(times)):
            most = burst + per_ms * (times[last] - times[first] + 1)
            assert last - first + 1 <= most
    assert len(times) >= int(burst + per_ms * (times[-1] - times[0])) - 1


def test_never_more_requests_at_once_than_allowed(product: Product, urls: list[str]) -> None:
    limit = 4
    tenant = product.new_project(concurrent_requests=limit)
    statuses: list[int] = []

    def ask(number: int) -> None:
        prompt = simulate(repeat=20, tokens_per_second=100)
        url = urls[number % len(urls)]
        statuses.append(create(url, tenant, input=prompt).status_code)

    hammer(ask, lambda: statuses.count(200) >= 60)
    assert set(statuses) == {200, 429}
    # By Redis's clock: each from its admission to its settlement, which is its entry's id.
    moments = []
    for each in entries_of(product, tenant):
        moments.append((each["admitted_at_ms"], +1))
        moments.append((int(each["id"].partition("-")[0]), -1))
    at_once = most = 0
    for _, change in sorted(moments):  # of the same millisecond, ends come first
        at_once += change
        most = max(most, at_once)
    assert most == limit


def test_a_hard_budget_is_spent_and_never_exceeded(product: Product, urls: list[str]) -> None:
    budget = 15_000
    tenant = product.new_project(daily_tokens=budget)
    refused = threading.Event()
    draw = random.Random(7)

    def ask(number: int) -> None:
        url = urls[number % len(urls)]
        most = draw.choice((20, 100, 300))
        if draw.random() < 0.3:  # leaves in the middle
            body = {"model": "gpt-oss-120b", "input": simulate(repeat=500), "stream": True}
            headers = {"authorization": f"Bearer {tenant.key}"}
            with httpx.stream(
                "POST",
                f"{url}/v1/responses",
                headers=headers,
                json={**body, "max_output_tokens": most},
                timeout=30,
            ) as answer:
                next(answer.iter_lines())
            return
        answer = create(url, tenant, input="Count", max_output_tokens=most)
        if answer.status_code == 429:
            assert answer.json()["error"]["code"] == "insufficient_quota"
            if most == 20:  # so nothing larger passes either
                refused.set()

    hammer(ask, refused.is_set)
    spent = sum(
        each["input_tokens"] + each["output_tokens"] for each in entries_of(product, tenant)
    )
    assert spent <= budget
    # What is left is less than the smallest of these requests.
    left = budget - spent
    smallest = create(urls[0], tenant, input="Count", max_output_tokens=20)
    while smallest.status_code == 200:
        usage = smallest.json()["usage"]
        left -= usage["input_tokens"] + usage["output_tokens"]
        smallest = create(urls[0], tenant, input="Count", max_output_tokens=20)
    assert 0 <= left < 200


def test_many_keys_connections_and_early_leaves_get_no_more(
    product: Product, urls: list[str]
) -> None:
    per_minute = 24_000
    tenant = product.new_project(tokens_per_minute=per_minute)
    path = f"/v1/organization/projects/{tenant.project_id}/api_keys"
    keys = [product.admin("POST", path, json={})["value"] for _ in range(8)]
    stop_at = time.monotonic() + 5
    draw = random.Random(11)

    def ask(number: int) -> None:
        mine = Tenant(tenant.project_id, draw.choice(keys))
        url = draw.choice(urls)
        try:
            # Nearly all of it, and gone before its end; again at once whatever was answered.
            with streamed(url, mine, input=simulate(repeat=500), max_output_tokens=200) as events:
                for seen, _ in enumerate(events):
                    if seen > 150:
                        break
        except AssertionError:
            pass  # 429

    hammer(ask, lambda: time.monotonic() > stop_at)
    entries = entries_of(product, tenant)
    assert len({each["api_key_id"] for each in entries}) > 1
    served = sum(each["input_tokens"] + each["output_tokens"] for each in entries)
    elapsed_ms = entries[-1]["admitted_at_ms"] - entries[0]["admitted_at_ms"] + 1
    assert served <= per_minute * BURST_S / 60 + per_minute * elapsed_ms / 60_000
    # And what came to those who left was charged all the same.
    assert all(each["output_tokens"] > 0 for each in entries)
