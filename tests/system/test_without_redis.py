"""What is served while Redis is away, what is not, and that all of it is charged afterwards."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from gateway.iam.api_key import ENTROPY_BYTES, mint
from tests.stack.demo import Tenant
from tests.stack.product import Product, running_product
from tests.stack.redis import start_redis
from tests.system.http import create, simulate, streamed
from tests.system.waiting import wait_until

AWAY, BACK = 2.0, 0.0
Outage = Callable[[Product, ExitStack], AbstractContextManager[None]]


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    """Ends what a test has started, at its end."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def fragile(tmp_path: Path, servers: ExitStack) -> Iterator[Product]:
    """A product of one's own, to be broken; it ends before what tests start."""
    with running_product(tmp_path) as running:
        yield running


@contextmanager
def away(product: Product, servers: ExitStack) -> Iterator[None]:
    """Redis ends, and is there again afterwards with all that it knew."""
    port = urlsplit(product.redis_url).port
    assert port
    with Redis.from_url(product.redis_url) as redis:
        redis.config_set("appendonly", "yes")
        wait_until(lambda: redis.info("persistence")["aof_rewrite_in_progress"] == 0, "saved")
        redis.shutdown(save=False)
    yield
    servers.enter_context(start_redis(port, product.directory / "redis", durable=True))


@contextmanager
def frozen(product: Product, servers: ExitStack) -> Iterator[None]:
    """Redis holds its connections, and answers nothing."""
    with Redis.from_url(product.redis_url) as redis:
        pid = int(redis.info("server")["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def is_noticed(product: Product, tenant: Tenant) -> None:
    """Enough requests until nobody asks Redis any more; all of them are answered."""

    def noticed() -> bool:
        create(product.url, tenant)
        return product.metric("gw_store_mode") == AWAY

    wait_until(noticed, "it was noticed")


def all_is_charged(product: Product, tenant: Tenant, usages: list[dict[str, int]]) -> None:
    """Redis is back: everything that was answered is in the books, and they agree."""
    wait_until(lambda: product.metric("gw_store_mode") == BACK, "Redis was asked again")
    wait_until(lambda: product.metric("gw_settlements_pending") == 0, "all was settled")
    charged = product.usage(tenant.project_id)
    assert charged["requests"] == len(usages)
    for name in ("input_tokens", "output_tokens"):
        assert charged[name] == sum(usage[name] for usage in usages)
    assert product.gwctl("audit", "--project", tenant.project_id) == []


@contextmanager
def full(product: Product, servers: ExitStack) -> Iterator[None]:
    """Redis answers, and takes nothing that is to be written."""
    with Redis.from_url(product.redis_url) as redis:
        redis.config_set("maxmemory", 1)
        try:
            yield
        finally:
            redis.config_set("maxmemory", 0)


@pytest.mark.parametrize("outage", [away, frozen, full])
def test_known_keys_are_served_and_charged_later(
    fragile: Product, servers: ExitStack, outage: Outage
) -> None:
    tenant = fragile.new_project()
    usages = [create(fragile.url, tenant).json()["usage"]]
    with streamed(fragile.url, tenant, input=simulate(repeat=100, tokens_per_second=50)) as events:
        next(events)
        with outage(fragile, servers):
            while fragile.metric("gw_store_mode") != AWAY:
                answer = create(fragile.url, tenant)
                assert answer.status_code == 200, answer.text
                usages.append(answer.json()["usage"])
            calls = _store_calls(fragile)
            for _ in range(10):
                answer = create(fragile.url, tenant)
                assert answer.status_code == 200, answer.text
                usages.append(answer.json()["usage"])
            # So nobody waits for it.
            assert _store_calls(fragile) == calls
            usages.append(list(events)[-1]["response"]["usage"])

            unknown = Tenant("", mint(bytes(range(ENTROPY_BYTES))).token)
            refused = create(fragile.url, unknown)
            assert (refused.status_code, refused.json()["error"]["code"]) == (
                503,
                "store_unavailable",
            )
            assert refused.headers["retry-after"] == "1"
            assert httpx.get(f"{fragile.ops_url}/readyz").status_code == 200
            assert fragile.metric("gw_degraded_admits_total", concern="rates") > 0
            # Nor has it been taken for one that is back: the probe is four times a second.
            assert fragile.metric("gw_store_mode") == AWAY
    all_is_charged(fragile, tenant, usages)


def test_rates_hold_at_this_gateways_part(fragile: Product, servers: ExitStack) -> None:
    other = fragile.new_project()
    tenant = fragile.new_project(requests_per_minute=20)
    assert create(fragile.url, other).status_code == create(fragile.url, tenant).status_code == 200
    with away(fragile, servers):
        is_noticed(fragile, other)
        answers = [create(fragile.url, tenant) for _ in range(8)]
        # A quarter of a minute's requests at once, as with Redis.
        assert [answer.status_code for answer in answers[:5]] == [200] * 5
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["retry-after"]) >= 1


def test_of_a_hard_budget_an_allowance_is_given_and_then_nothing(
    fragile: Product, servers: ExitStack
) -> None:
    other = fragile.new_project()
    tenant = fragile.new_project(monthly_tokens=20_000)
    assert create(fragile.url, other).status_code == 200
    usages = [create(fragile.url, tenant, max_output_tokens=100).json()["usage"]]

    def is_known() -> bool:
        with Redis.from_url(fragile.redis_url) as redis:
            # Only reading what is left of a budget counts leases.
            return "cmdstat_zcount" in redis.info("commandstats")

    wait_until(is_known, "the gateway has read what is left")
    with away(fragile, servers):
        is_noticed(fragile, other)
        statuses = []
        for _ in range(20):
            answer = create(fragile.url, tenant, max_output_tokens=100)
            statuses.append(answer.status_code)
            if answer.status_code == 200:
                usages.append(answer.json()["usage"])
        # 5 % are 1,000 tokens.
        assert statuses[0] == 200
        assert statuses[-1] == 503
        assert fragile.metric("gw_degraded_admits_total", concern="hard_budget") > 0
    given = sum(usage["input_tokens"] + usage["output_tokens"] for usage in usages[1:])
    assert 0 < given <= 1000
    all_is_charged(fragile, tenant, usages)


def test_after_a_while_nothing_is_admitted_any_more(tmp_path: Path, servers: ExitStack) -> None:
    with running_product(tmp_path, gateway_env={"GATEWAY_DEGRADED_MAX_S": "1"}) as fragile:
        tenant = fragile.new_project()
        assert create(fragile.url, tenant).status_code == 200
        with away(fragile, servers):
            wait_until(
                lambda: create(fragile.url, tenant).status_code == 503, "nothing was admitted"
            )
            readyz = f"{fragile.ops_url}/readyz"
            wait_until(lambda: "Redis" in httpx.get(readyz).text, "it was not ready")
        wait_until(lambda: create(fragile.url, tenant).status_code == 200, "it was served again")


def test_a_leaked_key_is_shut_out_by_a_file(tmp_path: Path, servers: ExitStack) -> None:
    denylist = tmp_path / "denylist"
    denylist.write_text("")
    with running_product(tmp_path, gateway_env={"GATEWAY_DENYLIST_FILE": str(denylist)}) as fragile:
        leaked, other = fragile.new_project(), fragile.new_project()
        for tenant in (leaked, other):
            assert create(fragile.url, tenant).status_code == 200
        with away(fragile, servers):
            denylist.write_text(f"{leaked.key.split('_')[1]}  # on a screenshot\n")
            wait_until(lambda: create(fragile.url, leaked).status_code == 401, "it was shut out")
            assert create(fragile.url, other).status_code == 200
        assert fragile.metric("gw_denylist_entries") == 1


def _store_calls(product: Product) -> float:
    """Calls that requests wait for before they are served."""
    exposition = httpx.get(f"{product.ops_url}/metrics").text
    return sum(
        sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if sample.name == "gw_store_op_seconds_count" and sample.labels["op"] == "reserve"
    )
