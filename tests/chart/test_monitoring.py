"""Rules and dashboards: what the chart ships is what was generated, and what was tested."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from charts.monitoring.__main__ import BOARDS, files
from tests.chart.helm import CHART, render

VALUES = CHART / "ci" / "monitoring-values.yaml"
URL = "https://git.example.com/platform/llm-gateway/blob/main"


def test_dashboards_and_slo_rules_are_what_the_code_makes() -> None:
    for path, content in files().items():
        assert path.read_text() == content, f"{path.name}: run `make monitoring`"
    assert {path.stem for path in (CHART / "dashboards").iterdir()} == set(BOARDS)


def test_the_prometheusrule_is_the_files_with_our_objectives_and_runbooks() -> None:
    rendered = render(VALUES).one("PrometheusRule")["spec"]["groups"]
    written = [
        group
        for path in sorted((CHART / "rules").glob("*.yaml"))
        for group in yaml.safe_load(path.read_text())["groups"]
    ]
    for group in written:
        for rule in group["rules"]:
            rule["expr"] = rule["expr"].replace('namespace=~".+"', 'namespace="inference"')
            if rule.get("labels") == {"slo": "availability"}:
                rule["expr"] = rule["expr"].replace("+ 0.999", "+ 0.995")
            if "alert" in rule:
                page = rule["annotations"]["runbook_url"]
                rule["annotations"]["runbook_url"] = f"{URL}/{page}"
    assert rendered == written


def test_dashboards_reach_grafana_as_they_are() -> None:
    maps = {
        each["metadata"]["name"]: each
        for each in render(VALUES).of_kind("ConfigMap")
        if "-dashboard-" in each["metadata"]["name"]
    }
    assert len(maps) == len(BOARDS)
    for name in BOARDS:
        found = maps[f"gw-llm-gateway-dashboard-{name}"]
        assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
        ((file, text),) = found["data"].items()
        assert file == f"llm-gateway-{name}.json"
        assert json.loads(text) == board(name)
        assert len(text) < 900_000  # of the 1 MiB that a ConfigMap may be


def board(name: str) -> Any:
    return json.loads((CHART / "dashboards" / f"{name}.json").read_text())


def panels(name: str) -> Iterator[dict[str, Any]]:
    for each in board(name)["panels"]:
        yield from (each.get("panels") or [each]) if each["type"] == "row" else [each]


@pytest.mark.parametrize("name", BOARDS)
def test_every_panel_can_be_read_by_somebody_new(name: str) -> None:
    found = [each for each in panels(name) if each["type"] != "row"]
    titles = [each["title"] for each in found]
    for each in found:
        assert each["description"].endswith((".", "?")), each["title"]
        assert each["fieldConfig"]["defaults"]["unit"], each["title"]
        assert each["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert each["targets"], each["title"]
    assert board(name)["description"]
    assert len(titles) >= 9
    links = board(name)["links"]
    assert [(link["tags"], link["includeVars"], link["keepTime"]) for link in links] == [
        (["llm-gateway"], True, True)
    ]
    variables = [each["name"] for each in board(name)["templating"]["list"]]
    assert variables[:2] == ["datasource", "namespace"]


@pytest.mark.parametrize("name", BOARDS)
def test_no_query_is_of_a_lifetime_or_of_other_namespaces(name: str) -> None:
    """A counter that is not rated, or a sum divided by a count, says how it was since the start."""
    for panel in panels(name):
        for target in panel.get("targets", []):
            expr = target["expr"]
            for counter in ("_bucket{", "_sum{", "_count{"):
                for before in expr.split(counter)[:-1]:
                    assert "rate(" in before.rpartition(" ")[2], expr
            assert "$namespace" in expr, expr
