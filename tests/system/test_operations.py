"""What operators see: logs, metrics, probes, settings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.stack.product import Product
from tests.system.http import MODEL, create, streamed
from tests.system.waiting import wait_until


def test_a_request_is_one_line_of_json_without_key_or_text(product: Product) -> None:
    tenant = product.new_project()
    with streamed(product.url, tenant, input="A very private question") as events:
        response = list(events)[-1]["response"]

    def lines() -> list[dict[str, object]]:
        return [line for line in product.log_lines() if line.get("response_id") == response["id"]]

    wait_until(lambda: len(lines()) == 1, "the line was written")
    line = lines()[0]
    assert line["msg"] == "request"
    assert (line["route"], line["status"], line["outcome"]) == ("responses", 200, "ok")
    assert (line["project"], line["kid"]) == (tenant.project_id, tenant.key.split("_")[1])
    assert line["output_tokens"] == response["usage"]["output_tokens"]
    assert line["stream"] is True
    assert line["worker"] == product.triton_address
    for number in ("ttft_ms", "duration_ms"):
        assert isinstance(line[number], float)
    log = product.gateway.log.read_text()
    assert "private question" not in log
    assert tenant.key not in log


def test_the_metrics_count_requests_tokens_and_outcomes(product: Product) -> None:
    tenant = product.new_project(requests_per_minute=1)
    before = {
        outcome: product.metric("gw_outcomes_total", outcome=outcome)
        for outcome in ("ok", "limited")
    }
    output_tokens = product.metric("gw_tokens_total", type="output")
    answer = create(product.url, tenant)
    create(product.url, tenant)

    assert product.metric("gw_outcomes_total", outcome="ok") == before["ok"] + 1
    assert product.metric("gw_outcomes_total", outcome="limited") == before["limited"] + 1
    assert (
        product.metric("gw_tokens_total", type="output")
        == output_tokens + answer.json()["usage"]["output_tokens"]
    )
    assert product.metric("gw_worker_up", worker=product.triton_address) == 1
    assert product.metric("gw_inflight_requests") == 0
    assert product.metric("gen_ai_server_request_duration_seconds_count") > 0


def test_no_label_holds_what_a_tenant_chose(product: Product) -> None:
    tenant = product.new_project()
    httpx.post(f"{product.url}/secret-path-of-a-tenant/x", json={})
    httpx.request("BREW", f"{product.url}/v1/responses")
    create(product.url, tenant, model="model-of-a-tenant")

    exposition = httpx.get(f"{product.ops_url}/metrics").text
    for chosen in ("secret-path", "model-of-a-tenant", "BREW", tenant.project_id):
        assert chosen not in exposition


def test_every_metric_has_its_line_in_the_docs(product: Product) -> None:
    exposition = httpx.get(f"{product.ops_url}/metrics").text
    types = re.findall(r"^# TYPE (gw_\w+|gen_ai_\w+) ", exposition, re.MULTILINE)
    names = {name.removesuffix("_total") for name in types}
    gateways = Path("docs/metrics.md").read_text().partition("## By project")[0]
    assert names == set(re.findall(r"^\| `(gw_\w+|gen_ai_\w+)`", gateways, re.MULTILINE))


def test_probes_and_metrics_are_not_on_the_tenants_port(product: Product) -> None:
    for path in ("/metrics", "/readyz", "/healthz"):
        assert httpx.get(product.url + path).status_code == 404
        assert httpx.get(product.ops_url + path).status_code == 200


def test_wrong_settings_are_named_by_their_variable_and_never_quoted() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway"],
        env={**os.environ, "GATEWAY_KEY_PEPPERS": "1:secret", "GATEWAY_PORT": "none"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert "GATEWAY_KEY_PEPPERS" in done.stderr
    assert "GATEWAY_PORT" in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GATEWAY_WORKERS", "dns:workers..svc:8001"),
        ("GATEWAY_WORKERS", "worker:0"),
        ("GATEWAY_WORKERS", "worker:99999"),
        ("GATEWAY_WORKERS", "wörker:8001"),
        ("GATEWAY_WORKERS", f"{'w' * 64}.svc:8001"),
        ("GATEWAY_WORKERS", "[::1:8001"),
        ("GATEWAY_MAX_DURATION_S", "1e17"),
        ("GATEWAY_QUEUE_TIMEOUT_S", "-1"),
    ],
)
def test_a_setting_that_no_request_could_live_with_is_refused_at_the_start(
    variable: str, value: str
) -> None:
    done = print_config(variable, value)
    assert done.returncode == 2
    assert f"{variable}:" in done.stderr


@pytest.mark.parametrize(
    "workers",
    ["127.0.0.1:8001", "[::1]:8001", "dns:gw-workers.llm_ops.svc.cluster.local.:8001", "a:1,b-2:2"],
)
def test_workers_are_named_as_resolvers_know_them(workers: str) -> None:
    assert print_config("GATEWAY_WORKERS", workers).returncode == 0


def print_config(variable: str, value: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", "--print-config"],
        env={**os.environ, "GATEWAY_KEY_PEPPERS": f"1:{'ab' * 32}", variable: value},
        capture_output=True,
        text=True,
        check=False,
    )


def test_print_config_shows_every_setting_but_no_secret() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "--print-config"],
        env={**os.environ, "GATEWAY_KEY_PEPPERS": f"1:{'ab' * 32}", "REDIS_URL": "redis://:pw@h/0"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert MODEL in done.stdout
    assert "abab" not in done.stdout
    assert ":pw@" not in done.stdout
