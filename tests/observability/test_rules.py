"""The alerts fire when they should, and stay silent beside it: by promtool, on the chart's own files."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from charts.monitoring.slo_rules import FIRST_TOKEN_S, PER_TOKEN_S
from gateway.telemetry.metrics import Metrics
from tests.chart.helm import CHART, render
from tests.observability.alert_cases import CASES, Case
from tests.observability.needs import needs_prometheus

RULES = sorted((CHART / "rules").glob("*.yaml"))
ROOT = CHART.parents[1]


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def alerts() -> list[dict[str, Any]]:
    return [
        rule
        for file in RULES
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]


@needs_prometheus
def test_promtool_finds_nothing_to_complain_of() -> None:
    done = promtool("check", "rules", *RULES)
    assert done.returncode == 0, done.stderr


@needs_prometheus
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert} {case.severity}".strip())
def test_an_alert_fires_and_stays_silent(case: Case, tmp_path: Path) -> None:
    tests = [
        {
            "interval": case.interval,
            "input_series": [{"series": name, "values": text} for name, text in series.items()],
            "promql_expr_test": [
                {
                    "expr": f"count({_firing(case)}) > bool 0 or vector(0)",
                    "eval_time": case.at,
                    "exp_samples": [{"labels": "{}", "value": value}],
                }
            ],
        }
        for series, value in ((case.fires, 1), (case.silent, 0))
    ]
    file = tmp_path / "test.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "rule_files": [str(each) for each in RULES],
                "evaluation_interval": case.interval,
                "tests": tests,
            },
            width=1000,
        )
    )
    done = promtool("test", "rules", file)
    assert done.returncode == 0, done.stderr or done.stdout


@needs_prometheus
def test_two_installations_keep_promises_of_their_own(tmp_path: Path) -> None:
    """One Prometheus, two releases: each is judged by what it promises, once."""
    files = []
    for namespace, objective in (("strict", 0.999), ("loose", 0.9)):
        rendered = render(
            CHART / "ci" / "monitoring-values.yaml",
            sets=(f"metrics.prometheusRule.objectives.availability={objective}",),
            namespace=namespace,
        )
        files.append(tmp_path / f"{namespace}.yaml")
        files[-1].write_text(yaml.safe_dump(rendered.one("PrometheusRule")["spec"]))
    outcomes = {
        f'gw_outcomes_total{{namespace="{namespace}", outcome="{outcome}"}}': f"0+{each}x120"
        for namespace in ("strict", "loose")
        for outcome, each in (("ok", 970), ("upstream", 30))
    }
    pages = 'ALERTS{alertname="GatewayAvailabilityBudgetBurns", alertstate="firing", window="1h"}'
    file = tmp_path / "test.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "rule_files": [str(each) for each in files],
                "evaluation_interval": "1m",
                "tests": [
                    {
                        "interval": "1m",
                        "input_series": [
                            {"series": name, "values": text} for name, text in outcomes.items()
                        ],
                        "promql_expr_test": [
                            {
                                "expr": f"count by (namespace) ({pages})",
                                "eval_time": "100m",
                                "exp_samples": [{"labels": '{namespace="strict"}', "value": 1}],
                            }
                        ],
                    }
                ],
            },
            width=1000,
        )
    )
    done = promtool("test", "rules", file)
    assert done.returncode == 0, done.stderr or done.stdout


def _firing(case: Case) -> str:
    severity = f', severity="{case.severity}"' if case.severity else ""
    return f'ALERTS{{alertname="{case.alert}", alertstate="firing"{severity}}}'


def test_every_alert_is_tried() -> None:
    tried = {(case.alert, case.severity) for case in CASES}
    for alert in alerts():
        name, severity = alert["alert"], alert["labels"]["severity"]
        assert (name, severity) in tried or (name, "") in tried, name
    assert {case.alert for case in CASES} == {alert["alert"] for alert in alerts()}


def test_every_alert_has_a_runbook_that_says_what_to_do() -> None:
    pages = set()
    for alert in alerts():
        page = ROOT / alert["annotations"]["runbook_url"]
        pages.add(page)
        text = page.read_text()
        for heading in ("## What it means", "## Look", "## Do"):
            assert heading in text, f"{page}: {heading}"
        assert alert["alert"] in text, page
        assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}
        assert alert["labels"]["severity"] in ("page", "ticket", "info")
    assert pages == set((ROOT / "docs" / "runbooks").glob("*.md")) - {
        ROOT / "docs" / "runbooks" / "README.md"
    }


def test_thresholds_of_promises_are_edges_of_buckets() -> None:
    """Between two edges Prometheus would guess."""
    registry = CollectorRegistry()
    metrics = Metrics(registry, model="m")
    metrics.first_token_s.observe(1)
    metrics.per_token_s.observe(1)
    edges = {
        family.name: {sample.labels["le"] for sample in family.samples if "le" in sample.labels}
        for family in registry.collect()
    }
    assert FIRST_TOKEN_S in edges["gen_ai_server_time_to_first_token_seconds"]
    assert PER_TOKEN_S in edges["gen_ai_server_time_per_output_token_seconds"]


def test_no_rule_and_no_panel_asks_for_what_nobody_tells() -> None:
    """Names of metrics in rules and dashboards are in docs/metrics.md, or of others by agreement."""
    documented = set(
        re.findall(r"^\| `([a-z_]+)`", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
    )
    others = re.compile(
        r"kube_statefulset_(replicas|status_replicas_ready)|process_(cpu_seconds_total|resident_memory_bytes|start_time_seconds)|DCGM_FI_\w+"
        r"|nv_inference_request_(success|failure)|gw:slo_\w+"
    )
    texts = [file.read_text() for file in (*RULES, *sorted((CHART / "dashboards").glob("*.json")))]
    asked = {
        name
        for text in texts
        for name in re.findall(r"\b((?:gw|gen_ai|worker|process|nv|DCGM|kube)_\w+)(?=[{\[])", text)
    }
    for name in asked:
        base = (
            name if name.startswith("worker") else re.sub(r"_(total|bucket|sum|count)$", "", name)
        )
        assert {name, base} & documented or others.fullmatch(name), name
    assert json.dumps(sorted(asked)).count("gw_") > 30
