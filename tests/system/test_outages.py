"""When Redis, a worker or the gateway itself goes away."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from redis import Redis

from tests.stack.gateway import start_gateway
from tests.stack.process import free_port
from tests.stack.product import PEPPERS, Product, running_product
from tests.stack.redis import start_redis
from tests.system.http import create, simulate, streamed
from tests.system.waiting import wait_until

SLOW = {"tokens_per_second": 50}


@pytest.fixture
def fragile(tmp_path: Path) -> Iterator[Product]:
    """A product of one's own, to be broken."""
    with running_product(tmp_path, gateway_env={"GATEWAY_IDLE_TIMEOUT_S": "2"}) as running:
        yield running


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Product]:
    """Another one, which admits nothing without Redis."""
    with running_product(tmp_path, gateway_env={"GATEWAY_DEGRADED_MAX_S": "0"}) as running:
        yield running


def test_without_redis_requests_are_refused_and_nothing_settled_is_lost(strict: Product) -> None:
    fragile = strict
    tenant = fragile.new_project()
    redis_port = urlsplit(fragile.redis_url).port
    assert redis_port
    with streamed(fragile.url, tenant, input=simulate(repeat=150, **SLOW)) as events:
        next(events)
        with Redis.from_url(fragile.redis_url) as redis:
            redis.execute_command("BGREWRITEAOF")
            redis.config_set("appendonly", "yes")
            wait_until(lambda: redis.info("persistence")["aof_rewrite_in_progress"] == 0, "saved")
            redis.shutdown(save=False)

        refused = create(fragile.url, tenant)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_unavailable")
        assert refused.headers["retry-after"]
        assert "Redis" in httpx.get(f"{fragile.ops_url}/readyz").text

        # The stream does not need Redis; it goes on to its end.
        last = list(events)[-1]
        assert last["type"] == "response.completed"

    wait_until(lambda: fragile.metric("gw_settlements_pending") == 1, "the settlement waited")
    with start_redis(redis_port, fragile.directory / "redis", durable=True):
        wait_until(lambda: fragile.metric("gw_settlements_pending") == 0, "it was settled")
        usage = fragile.usage(tenant.project_id)
        assert usage["requests"] == 1
        assert usage["output_tokens"] == last["response"]["usage"]["output_tokens"]
        wait_until(
            lambda: httpx.get(f"{fragile.ops_url}/readyz").status_code == 200, "it was ready again"
        )


def test_a_redis_that_freezes_while_requests_reserve_keeps_no_places_of_theirs(
    strict: Product,
) -> None:
    fragile = strict
    tenant = fragile.new_project(concurrent_requests=3)
    assert create(fragile.url, tenant).status_code == 200
    with Redis.from_url(fragile.redis_url) as redis:
        redis_pid = int(redis.info("server")["process_id"])
        os.kill(redis_pid, signal.SIGSTOP)
        try:
            with ThreadPoolExecutor(6) as threads:
                statuses = set(
                    threads.map(lambda _: create(fragile.url, tenant).status_code, range(6))
                )
        finally:
            os.kill(redis_pid, signal.SIGCONT)
        assert statuses == {503}
        key = f"gw:{{{tenant.project_id}}}:lz"
        wait_until(lambda: redis.zcard(key) == 0, "all places were given back")
    wait_until(lambda: create(fragile.url, tenant).status_code == 200, "it was served again")


def test_without_a_worker_requests_are_refused_with_a_time_to_come_back(fragile: Product) -> None:
    tenant = fragile.new_project()
    fragile.triton.kill()
    wait_until(
        lambda: httpx.get(f"{fragile.ops_url}/readyz").status_code == 503, "readiness was gone"
    )

    refused = create(fragile.url, tenant, stream=True)

    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "engine_overloaded")
    assert int(refused.headers["retry-after"]) > 0
    assert fragile.usage(tenant.project_id).get("output_tokens", 0) == 0
    assert httpx.get(f"{fragile.ops_url}/healthz").status_code == 200


@pytest.mark.parametrize("death", ["the server", "its stub"])
def test_a_worker_that_dies_mid_stream_ends_it_with_an_error_and_an_honest_bill(
    fragile: Product, death: str
) -> None:
    tenant = fragile.new_project()
    prompt = simulate(die_after=40) if death == "its stub" else simulate(repeat=100_000, **SLOW)
    with streamed(fragile.url, tenant, input=prompt, max_output_tokens=100_000) as stream:
        events = []
        for event in stream:
            events.append(event)
            if death == "the server" and event["type"] == "response.output_text.delta":
                fragile.triton.kill()

    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    usage = events[-1]["response"]["usage"]
    assert usage["output_tokens"] > 0
    wait_until(
        lambda: fragile.usage(tenant.project_id).get("output_tokens") == usage["output_tokens"],
        "exactly that was charged",
    )


def test_sigterm_lets_open_streams_finish(fragile: Product) -> None:
    tenant = fragile.new_project()
    with streamed(fragile.url, tenant, input=simulate(repeat=150, **SLOW)) as events:
        next(events)
        fragile.gateway.send(signal.SIGTERM)
        wait_until(lambda: not _accepts(fragile.url), "new connections were refused")
        last = list(events)[-1]

    assert last["type"] == "response.completed"
    assert fragile.gateway.wait(timeout_s=15) == 0
    assert (
        fragile.usage(tenant.project_id)["output_tokens"]
        == last["response"]["usage"]["output_tokens"]
    )


@pytest.mark.parametrize("impatience", ["said twice", "time is up"])
def test_a_stream_that_is_cut_by_the_end_is_billed_all_the_same(
    tmp_path: Path, impatience: str
) -> None:
    timeout_s = "1" if impatience == "time is up" else "60"
    with running_product(tmp_path, gateway_env={"GATEWAY_DRAIN_TIMEOUT_S": timeout_s}) as fragile:
        tenant = fragile.new_project()
        endless = simulate(repeat=100_000, **SLOW)
        with streamed(fragile.url, tenant, input=endless, max_output_tokens=100_000) as events:
            next(event for event in events if event["type"] == "response.output_text.delta")
            fragile.gateway.send(signal.SIGTERM)
            if impatience == "said twice":
                wait_until(lambda: not _accepts(fragile.url), "new connections were refused")
                fragile.gateway.send(signal.SIGTERM)
            *_, error, failed = events
            assert fragile.gateway.wait(timeout_s=20) == 0

        assert (error["type"], error["code"]) == ("error", "shutting_down")
        assert failed["type"] == "response.failed"
        line = next(line for line in fragile.log_lines() if line.get("code") == "shutting_down")
        assert line["outcome"] == "overloaded"
        billed = fragile.usage(tenant.project_id)["output_tokens"]
        assert billed == line["output_tokens"] == failed["response"]["usage"]["output_tokens"] > 0


def test_while_it_drains_it_is_not_ready_but_serves_who_still_comes(fragile: Product) -> None:
    tenant = fragile.new_project()
    port, ops_port = free_port(), free_port()
    second = start_gateway(
        port,
        ops_port,
        fragile.directory / "second",
        redis_url=fragile.redis_url,
        workers=fragile.triton_address,
        peppers=PEPPERS,
        env={"GATEWAY_DRAIN_DELAY_S": "60"},
    )
    with second:
        second.send(signal.SIGTERM)
        readyz = f"http://127.0.0.1:{ops_port}/readyz"
        wait_until(lambda: httpx.get(readyz).status_code == 503, "it was not ready")
        assert "draining" in httpx.get(readyz).text
        assert create(f"http://127.0.0.1:{port}", tenant).status_code == 200
        second.send(signal.SIGTERM)  # who says it twice is in a hurry
        assert second.wait(timeout_s=15) == 0


def test_a_taken_port_is_one_sentence(fragile: Product) -> None:
    port = urlsplit(fragile.url).port
    assert port
    process = start_gateway(
        port,
        free_port(),
        fragile.directory / "second",
        redis_url=fragile.redis_url,
        workers=fragile.triton_address,
        peppers=PEPPERS,
        wait=False,
    )
    try:
        assert process.wait(timeout_s=30) == 1
    except subprocess.TimeoutExpired:
        process.stop()
        raise
    last = process.log.read_text().splitlines()[-1]
    assert f"port {port}" in last
    assert "Traceback" not in process.log.read_text()


def test_a_burst_of_clients_is_served_while_others_leave(fragile: Product) -> None:
    tenant = fragile.new_project()

    def one(number: int) -> int:
        if number % 3 == 0:
            with streamed(fragile.url, tenant, input=simulate(repeat=5000, **SLOW)) as events:
                next(events)
            return 200
        return create(fragile.url, tenant, input=f"Count to {number}").status_code

    with ThreadPoolExecutor(30) as threads:
        assert set(threads.map(one, range(90))) == {200}
    wait_until(lambda: fragile.metric("gw_inflight_requests") == 0, "all had ended")
    wait_until(lambda: fragile.worker_metric("worker_running_requests") == 0, "engines were free")


def _accepts(url: str) -> bool:
    try:
        httpx.get(url, timeout=2)
    except httpx.TransportError:
        return False
    return True
