"""Who reaches whom, and that streams are let through."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.chart.helm import CHART, Object, Rendered, render

CI = CHART / "ci"
LONGEST_S = 1955  # of a request, with the defaults: test_settings.py


def test_a_route_has_no_time_limit_and_so_cuts_no_stream() -> None:
    """Envoy's own is 15 s."""
    (rule,) = render(CI / "http-route-values.yaml").one("HTTPRoute")["spec"]["rules"]
    assert rule["timeouts"] == {"request": "0s", "backendRequest": "0s"}
    assert rule["backendRefs"] == [{"name": "gw-llm-gateway-gateway", "port": 443}]


def test_every_ingress_controller_is_told_what_streams_need() -> None:
    def annotations(name: str) -> dict[str, str]:
        found: dict[str, str] = render(CI / f"{name}-values.yaml").one("Ingress")["metadata"][
            "annotations"
        ]
        return found

    nginx = annotations("ingress-nginx")
    prefix = "nginx.ingress.kubernetes.io/proxy-"
    assert nginx[f"{prefix}buffering"] == "off"
    assert nginx[f"{prefix}read-timeout"] == "7200", "the user's own goes before ours"
    assert int(nginx[f"{prefix}send-timeout"]) > LONGEST_S
    assert int(nginx[f"{prefix}body-size"]) > 33554432, "a little too large is for us to say"
    haproxy = annotations("ingress-haproxy")
    assert int(haproxy["haproxy.org/timeout-server"].removesuffix("s")) > LONGEST_S
    (attribute,) = [text for key, text in annotations("alb").items() if "attributes" in key]
    assert int(attribute.rpartition("=")[2]) > LONGEST_S


def test_a_tenant_reaches_neither_probes_nor_the_admin_api() -> None:
    for values in ("http-route", "ingress-nginx", "cert-manager"):
        rendered = render(CI / f"{values}-values.yaml")
        service = rendered.one("Service", "-gateway")
        assert [each["targetPort"] for each in service["spec"]["ports"]] == ["http"]
    plain = render()
    assert plain.one("ConfigMap", "-gateway")["data"]["GATEWAY_ADMIN_HOST"] == "127.0.0.1"
    assert not [each for each in plain.of_kind("Service") if "admin" in each["metadata"]["name"]]


def test_the_autoscaler_asks_for_a_metric_that_there_is() -> None:
    (trigger,) = render(CI / "keda-values.yaml").one("ScaledObject")["spec"]["triggers"]
    (metric,) = re.findall(r"sum\((\w+)\{", trigger["metadata"]["query"])
    assert f"`{metric}`" in Path("docs/metrics.md").read_text()
    assert 'namespace="inference"' in trigger["metadata"]["query"]


@pytest.mark.parametrize(
    ("source", "target", "port", "may"),
    [
        ("anybody", "gateway", "http", True),
        ("anybody", "gateway", "ops", False),
        ("anybody", "gateway", "admin", False),
        ("gateway", "worker", "grpc", True),
        ("anybody", "worker", "grpc", False),
        ("anybody", "worker", "http", False),
        ("gateway", "redis", "redis", True),
        ("seed", "redis", "redis", True),
        ("test", "redis", "redis", True),
        ("test", "gateway", "http", True),
        ("worker", "redis", "redis", False),
        ("anybody", "redis", "redis", False),
    ],
)
def test_who_may_talk_to_whom(source: str, target: str, port: str, may: bool) -> None:
    seeded = render(sets=('seed.declarations={"projects": [{"id": "prj_a", "name": "a"}]}',))
    assert _may(seeded, source, target, port) is may


def test_tenants_may_be_let_in_from_one_place_only() -> None:
    rendered = render(CI / "seed-values.yaml")
    assert not _may(rendered, "anybody", "gateway", "http")
    assert _may(rendered, "test", "gateway", "http")


def test_workers_and_redis_talk_to_nobody() -> None:
    for name in ("-worker", "-redis"):
        assert render().one("NetworkPolicy", name)["spec"]["egress"] == []


def _egress_ports(rendered: Rendered, name: str) -> set[int]:
    """Those that a pod may go to wherever it is."""
    rules = rendered.one("NetworkPolicy", name)["spec"]["egress"]
    return {each["port"] for rule in rules if "to" not in rule for each in rule["ports"]}


def test_identity_providers_are_reached_at_their_ports() -> None:
    providers = [
        {"issuer": "https://keycloak.example:8443/realms/a", "audience": "llm"},
        {"issuer": "https://b.example", "audience": "llm", "jwks_url": "https://b.example:9443/k"},
    ]
    rendered = render(sets=(f"gateway.oidc={json.dumps(providers)}",))
    assert _egress_ports(rendered, "-gateway") == {53, 443, 8443, 9443}


@pytest.mark.parametrize(
    ("endpoint", "port"), [("", 443), ("http://mirror:8081/hub", 8081), ("http://mirror", 80)]
)
def test_weights_are_fetched_from_where_they_are(endpoint: str, port: int) -> None:
    sets = (f"workers.weights.job.endpoint={json.dumps(endpoint)}",)
    rendered = render(CHART / "profiles" / "gpu.yaml", sets=sets)
    assert _egress_ports(rendered, "-weights") == {53, port}


def test_dns_is_let_through_where_it_listens() -> None:
    """A policy sees the port of the pod: OpenShift's DNS has 53 in front, and 5353 behind."""
    sets = ("networkPolicy.dnsPorts=[53, 5353]", 'traces.url="http://otel:4318/v1/traces"')
    rendered = render(CHART / "profiles" / "gpu.yaml", CI / "seed-values.yaml", sets=sets)
    pods = ("-gateway", "-worker", "-weights", "-seed", "-test", "-usage-exporter")
    for each in pods:
        assert {53, 5353} <= _egress_ports(rendered, each), each


def _may(rendered: Rendered, source: str, target: str, port: str) -> bool:
    """As a network that enforces the policies would decide, of the release's own pods."""
    pods = {
        pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod
        for pod in rendered.pods().values()
    }
    labels = {} if source == "anybody" else pods[source]["metadata"]["labels"]
    goal = pods[target]["metadata"]["labels"]
    policies = [each["spec"] for each in rendered.of_kind("NetworkPolicy")]
    into = [each for each in policies if _selects(each, goal)]
    out = [each for each in policies if labels and _selects(each, labels)]
    comes_in = any(
        _allows(rule, "from", labels, port) for each in into for rule in each.get("ingress", [])
    )
    gets_out = not out or any(
        _allows(rule, "to", goal, port) for each in out for rule in each["egress"]
    )
    return comes_in and gets_out


def _selects(policy: Object, labels: dict[str, str]) -> bool:
    wanted: dict[str, str] = policy["podSelector"]["matchLabels"]
    return wanted.items() <= labels.items()


def _allows(rule: Any, direction: str, labels: dict[str, str], port: str) -> bool:
    peers = rule.get(direction)
    known = peers is None or any(
        "namespaceSelector" not in peer and labels and _selects(peer, labels) for peer in peers
    )
    return known and any(each["port"] == port for each in rule.get("ports", []))
