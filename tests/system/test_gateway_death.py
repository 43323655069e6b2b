"""A gateway that is killed, or frozen for longer than its leases, costs nobody more than was generated."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.gateway import start_gateway
from tests.stack.process import Process, free_port
from tests.stack.product import PEPPERS, Product, running_product
from tests.system.http import Event, create, simulate, streamed
from tests.system.test_billing import leases
from tests.system.waiting import wait_until

SHORT_LEASES = {
    "GATEWAY_LEASE_S": "1.5",
    "GATEWAY_RENEW_INTERVAL_S": "0.25",
    "GATEWAY_REAP_INTERVAL_S": "0.5",
    # A stream that sleeps with its gateway must not be taken for a dead worker's.
    "GATEWAY_IDLE_TIMEOUT_S": "60",
}
TOKENS_PER_SECOND = 100


@pytest.fixture(scope="module")
def survivor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with running_product(tmp_path_factory.mktemp("survivor"), gateway_env=SHORT_LEASES) as running:
        yield running


@pytest.fixture
def doomed(survivor: Product, tmp_path: Path) -> Iterator[tuple[Process, str]]:
    """A second gateway on the same Redis and worker, and its address."""
    port = free_port()
    with start_gateway(
        port,
        free_port(),
        tmp_path,
        redis_url=survivor.redis_url,
        workers=survivor.triton_address,
        peppers=PEPPERS,
        env={**SHORT_LEASES, "GATEWAY_SPOOL_DIR": str(tmp_path / "spool")},
    ) as process:
        yield process, f"http://127.0.0.1:{port}"


def until_tokens(events: Iterator[Event], count: int) -> None:
    for event in events:
        count -= event["type"] == "response.output_text.delta"
        if count <= 0:
            return


def test_what_a_killed_gateway_had_generated_is_billed_by_another_and_its_place_is_free(
    survivor: Product, doomed: tuple[Process, str]
) -> None:
    process, url = doomed
    tenant = survivor.new_project(concurrent_requests=1)
    endless = simulate(repeat=100_000, tokens_per_second=TOKENS_PER_SECOND)
    with streamed(url, tenant, input=endless, max_output_tokens=100_000) as events:
        until_tokens(events, 100)
        assert create(survivor.url, tenant).status_code == 429
        before = survivor.metric("gw_leases_reaped_total")
        process.send(signal.SIGKILL)
        wait_until(lambda: leases(survivor, tenant) == 0, "the lease was reaped")
    usage = survivor.usage(tenant.project_id)
    # What the last renewal had told: at most a quarter of a second before, and a chunk.
    assert usage["requests"] == 1
    assert usage["output_tokens"] >= 40
    assert usage["input_tokens"] > 0
    assert survivor.metric("gw_leases_reaped_total") == before + 1
    assert create(survivor.url, tenant).status_code == 200


def test_a_frozen_gateway_pays_the_difference_when_it_wakes(
    survivor: Product, doomed: tuple[Process, str]
) -> None:
    process, url = doomed
    tenant = survivor.new_project()
    answer = simulate(repeat=200, tokens_per_second=TOKENS_PER_SECOND)
    with streamed(url, tenant, input=answer) as events:
        until_tokens(events, 50)
        process.send(signal.SIGSTOP)
        wait_until(lambda: leases(survivor, tenant) == 0, "the lease was reaped")
        reaped = survivor.usage(tenant.project_id)
        process.send(signal.SIGCONT)
        last = list(events)[-1]
    assert last["type"] == "response.completed"
    assert 0 < reaped["output_tokens"] < last["response"]["usage"]["output_tokens"]

    def charged() -> dict[str, int]:
        return survivor.usage(tenant.project_id)

    generated = last["response"]["usage"]["output_tokens"]
    wait_until(lambda: charged()["output_tokens"] == generated, "the difference was paid")
    assert charged()["requests"] == 1
    verdicts = survivor.gwctl("ledger", "--project", tenant.project_id)
    assert [entry["verdict"] for entry in verdicts] == ["orphan", "adjusted"]


def test_a_stream_longer_than_its_lease_keeps_its_place(survivor: Product) -> None:
    tenant = survivor.new_project(concurrent_requests=1)
    answer = simulate(repeat=300, tokens_per_second=TOKENS_PER_SECOND)
    with streamed(survivor.url, tenant, input=answer) as events:
        until_tokens(events, 250)
        assert create(survivor.url, tenant).status_code == 429
        assert list(events)[-1]["type"] == "response.completed"
    wait_until(lambda: leases(survivor, tenant) == 0, "it was settled")
    (entry,) = survivor.gwctl("ledger", "--project", tenant.project_id)
    assert entry["verdict"] == "settled"
