"""A real Prometheus watches the product through a bad hour, in one minute: what do its boards show?"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from charts.monitoring.__main__ import BOARDS
from tests.observability.dashboards import expression, panels, show
from tests.observability.needs import needs_prometheus
from tests.observability.prometheus import NAMESPACE
from tests.observability.scene import (
    Scene,
    Tenants,
    everything,
    usual,
    watched_product,
)
from tests.system.http import create, simulate
from tests.system.waiting import wait_until

pytestmark = [
    needs_prometheus,
    pytest.mark.timeout(300),  # the scene is one of its own
]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """After mixed load with mistakes, refusals, a worker that was killed, and a drain that cut streams."""
    with watched_product(tmp_path_factory.mktemp("watched")) as scene:
        product = scene.product
        tenants = [product.new_project(monthly_tokens=10_000_000) for _ in range(3)]
        limited = product.new_project(requests_per_minute=60, tokens_per_minute=100_000)
        with Tenants(scene) as clients:
            for number in range(9):
                clients.client(tenants[number % 3], usual, pause_s=0.2)
            for _ in range(2):
                clients.client(limited, everything, pause_s=0.1)
            clients.client(limited, lambda draw: {"input": "Hello", "max_output_tokens": 5})
            # More at once than there are places: they wait, and some are refused.
            for _ in range(30):
                clients.client(
                    tenants[0], lambda draw: {"input": simulate(repeat=160), "stream": True}
                )
            lived_through(scene)
            scene.busy_until = time.time()
        # What ended last is counted, scraped and settled.
        time.sleep(3)
        yield scene


def lived_through(scene: Scene) -> None:
    product, prometheus = scene.product, scene.prometheus

    def seen(expr: str, what: str) -> None:
        wait_until(
            lambda: any(each.points[-1][1] > 0 for each in prometheus.now(expr)),
            what,
            timeout_s=60,
        )

    seen("sum(rate(gw_outcomes_total{outcome='ok'}[5s]))", "requests are answered")
    seen("sum(gw_queue_refusals_total)", "some are refused because workers are busy")
    product.workers[1].kill()
    seen("sum(gw_worker_takeovers_total{when='mid_stream'})", "another worker went on")
    seen("sum(gw_worker_failures_total)", "a worker has failed")
    product.workers[1].start()
    seen("min(sum by (pod) (gw_worker_up)) == 3", "it is back")
    scene.drain_second_gateway()
    scene.start_second_gateway(version=2)
    seen("gw_build_info{pod='gateway-2-2'}", "the new gateway is asked")
    seen("sum(rate(gw_project_limited_total[5s]))", "refusals by quotas are counted by project")
    seen(
        "sum(rate(gw_project_tokens_total{project!='_other'}[5s]))", "tokens are counted by project"
    )
    seen(
        "max(count_over_time(gw_project_budget_used_ratio{period='month'}[6h])) > 20",
        "a budget has been watched for long enough to have a slope",
    )
    seen("gw:slo_availability:error_ratio_30d", "the promises are recorded")


@pytest.mark.parametrize("board", BOARDS)
def test_every_query_of_a_dashboard_returns_data(scene: Scene, board: str) -> None:
    found = 0
    empty = {}
    for panel in panels(board):
        shown = show(scene.prometheus, panel, scene.began, scene.busy_until)
        found += len(panel.targets)
        if shown.empty:
            empty[panel.title] = shown.empty
    assert not empty
    assert found >= 9


def test_first_tokens_lead_from_the_graph_to_their_traces(scene: Scene) -> None:
    told = scene.prometheus.ask(
        "query_exemplars",
        query="gen_ai_server_time_to_first_token_seconds_bucket",
        start=scene.began,
        end=scene.busy_until,
    )
    traces = {each["labels"]["trace_id"] for series in told for each in series["exemplars"]}
    known = {span.trace_id for span in scene.collector.spans}
    assert traces
    assert traces <= known


def test_everybody_is_asked_as_a_pod_of_its_namespace(scene: Scene) -> None:
    told = scene.prometheus.ask("targets")["activeTargets"]
    assert {each["health"] for each in told} == {"up"}
    assert {each["labels"]["namespace"] for each in told} == {NAMESPACE}
    assert len([each for each in told if each["labels"]["pod"].startswith("gateway")]) == 2


def test_the_alerts_saw_what_happened(scene: Scene) -> None:
    """Pending at least: most want minutes. And none failed to be evaluated."""
    groups = scene.prometheus.ask("rules")["groups"]
    unhealthy = [
        (rule["name"], rule.get("lastError"))
        for group in groups
        for rule in group["rules"]
        if rule["health"] != "ok"
    ]
    assert not unhealthy
    active = {each["labels"]["alertname"] for each in scene.prometheus.ask("alerts")["alerts"]}
    # One in three requests was turned away.
    assert "GatewayAvailabilityBudgetBurns" in active


def test_what_projects_use_is_the_ledgers_sum(scene: Scene) -> None:
    tenant = scene.product.new_project()
    usage = create(scene.product.url, tenant, max_output_tokens=50).json()["usage"]
    expr = f'gw_project_tokens_total{{project="{tenant.project_id}", type="output"}}'
    wait_until(
        lambda: (
            [each.points[-1][1] for each in scene.prometheus.now(expr)] == [usage["output_tokens"]]
        ),
        "the exporter has told it",
        timeout_s=60,
    )


def test_a_query_that_asks_for_nothing_would_be_found(scene: Scene) -> None:
    (panel, *_) = [each for each in panels("fleet") if each.targets]
    broken = type(panel)(
        **{name: getattr(panel, name) for name in panel.__slots__ if name != "targets"},
        targets=[{**panel.targets[0], "expr": 'gw_outcomes_total{namespace="nowhere"}'}],
    )
    shown = show(scene.prometheus, broken, scene.began, scene.busy_until)
    assert shown.empty == [expression(broken.targets[0])]
