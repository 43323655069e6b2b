"""What is created beside the chart is what a cluster takes, and fits to what the chart renders."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.chart.helm import CHART, Object, Rendered, render
from tests.chart.kubernetes import complaints, versions
from tests.chart.pod_security import shortcomings, violations
from tests.cluster.manifests import client, namespace, pod_of_helm_test

_CI = CHART / "ci"
VALUES = (
    (),
    (CHART / "profiles/tiny.yaml",),
    (_CI / "cert-manager-values.yaml",),
    (_CI / "existing-secrets-values.yaml",),
    (_CI / "redis-sentinel-values.yaml",),
)


def _items(rendered: Rendered) -> dict[str, Object]:
    listed = client(rendered.one("Pod", "-test"), "gw_token", 1500)
    return {each["kind"]: each for each in listed["items"]}


@pytest.mark.parametrize("version", versions())
@pytest.mark.parametrize("values", VALUES, ids=str)
def test_every_kubernetes_takes_the_job_and_the_namespace(
    values: tuple[Path, ...], version: str
) -> None:
    objects = [*_items(render(*values)).values(), namespace("gw-test-0")]
    assert [each for found in objects for each in complaints(found, version)] == []


@pytest.mark.parametrize("values", VALUES, ids=str)
def test_the_pod_of_the_job_is_restricted_and_small(values: tuple[Path, ...]) -> None:
    pod = _items(render(*values))["Job"]["spec"]["template"]
    assert list(violations(pod)) == []
    assert list(shortcomings(pod)) == []
    assert pod["spec"]["restartPolicy"] == "Never"


def test_a_job_that_is_wrong_would_be_found() -> None:
    job = _items(render())["Job"]
    assert len(complaints({**job, "spec": {**job["spec"], "retries": 1}}, versions()[0])) == 1


@pytest.mark.parametrize("values", VALUES, ids=str)
def test_all_that_the_pod_refers_to_is_there(values: tuple[Path, ...]) -> None:
    rendered = render(*values)
    items = _items(rendered)
    text = yaml.safe_dump(items["Job"])
    (container,) = items["Job"]["spec"]["template"]["spec"]["containers"]
    volumes = {each["name"] for each in items["Job"]["spec"]["template"]["spec"]["volumes"]}
    assert {each["name"] for each in container["volumeMounts"]} == volumes
    assert ("tls" in volumes) == ("SELFTEST_CA_FILE" in text)
    assert "gw_token" not in text
    assert items["Secret"]["stringData"] == {"api-key": "gw_token"}
    assert "REDIS" not in text
    assert "PEPPERS" not in text
    assert (
        container["image"]
        == rendered.one("Deployment", "-gateway")["spec"]["template"]["spec"]["containers"][0][
            "image"
        ]
    )


def test_network_policies_let_the_job_reach_the_gateways() -> None:
    rendered = render(_CI / "default-values.yaml")
    labels = _items(rendered)["Job"]["spec"]["template"]["metadata"]["labels"].items()
    policies = [
        each
        for each in rendered.of_kind("NetworkPolicy")
        if each["spec"]["podSelector"]["matchLabels"].items() <= labels
    ]
    gateways = rendered.one("Deployment", "-gateway")["spec"]["selector"]
    egress = [rule for each in policies for rule in each["spec"]["egress"]]
    assert {"to": [{"podSelector": gateways}], "ports": [{"port": "http"}]} in egress
    (service,) = [
        each
        for each in rendered.of_kind("Service")
        if each["metadata"]["name"].endswith("-gateway")
    ]
    assert not service["spec"]["selector"].items() <= labels, "it would get requests itself"


def test_the_test_pod_is_found_among_the_hooks() -> None:
    pod = render().one("Pod", "-test")
    hooks = yaml.safe_dump_all([render().one("ConfigMap", "-test"), pod, None])
    assert pod_of_helm_test(hooks) == pod
    with pytest.raises(LookupError, match="test.enabled"):
        pod_of_helm_test("")
