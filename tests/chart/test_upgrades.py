"""Upgrades keep what must be kept, restart only what changed, and refuse what would lose data."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.cluster import Cluster, cluster
from tests.chart.helm import CHART, HelmError, Object, Rendered, render

SECRETS = ("-key-peppers", "-admin", "-redis")
EXTERNAL_REDIS = (
    'redis.mode="external"',
    'redis.external={"hosts": ["redis.example"], "existingSecret": "redis"}',
)


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster with what a first install has left there."""
    with cluster(tmp_path, render().objects) as found:
        yield found


def secrets(rendered: Rendered) -> dict[str, Any]:
    return {each["metadata"]["name"]: each["data"] for each in rendered.of_kind("Secret")}


def test_secrets_are_made_once_and_kept_by_upgrades(installed: Cluster) -> None:
    first = {
        each["metadata"]["name"]: each["data"]
        for each in installed.objects
        if each["kind"] == "Secret"
    }
    assert len(first) == 3
    assert secrets(render(sets=("gateway.replicas=3",))) != first, "they are random"
    assert secrets(installed.render(upgrade=True)) == first
    # An install after an uninstall, which has left them there.
    assert secrets(installed.render()) == first
    for each in installed.render(upgrade=True).of_kind("Secret"):
        assert each["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


@pytest.mark.parametrize("suffix", SECRETS)
def test_an_upgrade_makes_no_secret_anew_that_was_lost(installed: Cluster, suffix: str) -> None:
    installed.objects[:] = [
        each
        for each in installed.objects
        if (each["kind"], each["metadata"]["name"]) != ("Secret", f"gw-llm-gateway{suffix}")
    ]
    with pytest.raises(HelmError, match=f"The Secret gw-llm-gateway{suffix} with the key"):
        installed.render(upgrade=True)


def test_what_is_needed_for_the_first_time_is_told_how_to_make(tmp_path: Path) -> None:
    """A Secret of the chart's own name, made by hand, Helm would not take for its own."""
    without = render(sets=("admin.enabled=false",)).objects
    with cluster(tmp_path, without) as found, pytest.raises(HelmError) as raised:
        found.render(upgrade=True)
    said = "kubectl -n inference create secret generic NAME --from-literal=admin-key=$(openssl"
    assert said in str(raised.value)
    assert "set admin.bootstrapKey.existingSecret to that name" in str(raised.value)


def test_an_upgrade_that_cannot_look_into_the_cluster_is_refused() -> None:
    with pytest.raises(HelmError, match=r"an upgrade must not make another one.*dry-run=server"):
        render(upgrade=True)


def test_with_secrets_of_ones_own_upgrades_need_no_look_into_the_cluster() -> None:
    values = CHART / "ci" / "existing-secrets-values.yaml"
    assert render(values, upgrade=True).objects == render(values).objects
    assert render(values).of_kind("Secret") == []


def test_the_internal_redis_is_not_left_behind_by_mistake(installed: Cluster) -> None:
    with pytest.raises(HelmError, match="leave all keys, quotas and bills behind"):
        installed.render(*EXTERNAL_REDIS, upgrade=True)
    moved = installed.render(*EXTERNAL_REDIS, "redis.external.dataMoved=true", upgrade=True)
    assert "gw-llm-gateway-redis" not in {
        each["metadata"]["name"] for each in moved.of_kind("StatefulSet")
    }


@pytest.mark.parametrize("change", ['{"size": "8Gi"}', '{"enabled": false}'])
def test_a_change_that_kubernetes_would_refuse_is_told_what_to_do(
    installed: Cluster, change: str
) -> None:
    with pytest.raises(HelmError, match=r"it is 4Gi, and redis.internal.persistence wants"):
        installed.render(f"redis.internal.persistence={change}", upgrade=True)


@pytest.mark.parametrize(
    ("given", "stored"), [("4096Mi", "4Gi"), ("1024Gi", "1Ti"), ("1.5Gi", "1536Mi")]
)
def test_a_size_is_the_same_however_it_is_written(tmp_path: Path, given: str, stored: str) -> None:
    """Kubernetes keeps quantities in its own way, whatever was sent."""
    size = f'redis.internal.persistence.size="{given}"'
    objects = render(sets=(f'redis.internal.persistence.size="{stored}"',)).objects
    with cluster(tmp_path, objects) as found:
        assert found.render(size, upgrade=True).one("StatefulSet", "-redis")


def test_what_kubernetes_never_changes_is_as_it_was_released() -> None:
    """A change here breaks every `helm upgrade`: it needs a new major version, and a way there."""
    released = yaml.safe_load(Path(__file__).with_name("immutable.yaml").read_text())
    assert immutable(render()) == released
    gpu = render(CHART / "profiles" / "gpu.yaml")
    assert immutable(gpu) == released


def test_no_value_of_appearance_changes_what_is_immutable(tmp_path: Path) -> None:
    chart = another_version(tmp_path)
    changed = render(
        sets=(
            'commonLabels={"a": "b"}',
            'commonAnnotations={"a": "b"}',
            'gateway.podLabels={"c": "d"}',
            'gateway.image.tag="9"',
            "workers.replicas=5",
        ),
        chart=chart,
    )
    assert immutable(changed) == immutable(render())


def immutable(rendered: Rendered) -> dict[str, Object]:
    fields = ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates")
    return {
        f"{each['kind']}/{each['metadata']['name']}": {
            name: each["spec"][name] for name in fields if name in each["spec"]
        }
        for each in rendered.of_kind("Deployment", "StatefulSet")
    }


def another_version(directory: Path) -> Path:
    """The chart with its next version."""
    chart = directory / "llm-gateway"
    shutil.copytree(CHART, chart)
    meta = yaml.safe_load((chart / "Chart.yaml").read_text())
    (chart / "Chart.yaml").write_text(yaml.safe_dump({**meta, "version": "99.0.0"}))
    return chart


def test_a_new_chart_alone_restarts_nothing(tmp_path: Path) -> None:
    assert render(chart=another_version(tmp_path)).pods() == render().pods()


@pytest.mark.parametrize(
    ("change", "restarted"),
    [
        ("gateway.config.keepAliveSeconds=10", {"gateway"}),
        ('gateway.prices={"currency": "eur"}', {"gateway"}),
        ('gateway.denylist=["prj_x"]', set()),
        ("gateway.replicas=5", set()),
        ('gateway.service.annotations={"a": "b"}', set()),
        ('commonAnnotations={"a": "b"}', {"test"}),
        ('redis.internal.maxMemory="128mb"', {"redis"}),
        ("workers.config.maxRunning=64", {"worker"}),
        ('seed.declarations={"projects": [{"id": "prj_a", "name": "a"}]}', {"seed"}),
    ],
)
def test_a_change_restarts_what_it_is_about(change: str, restarted: set[str]) -> None:
    before, after = render().pods(), render(sets=(change,)).pods()
    changed = {name for name in after if after[name] != before.get(name)}
    assert {name.rpartition("-")[2] for name in changed} == restarted


@pytest.mark.parametrize("mode", ["hpa", "keda"])
def test_an_upgrade_does_not_set_back_what_was_scaled(mode: str) -> None:
    prometheus = 'gateway.autoscaling.prometheusAddress="http://prometheus:9090"'
    rendered = render(sets=(f'gateway.autoscaling.mode="{mode}"', prometheus))
    assert "replicas" not in rendered.one("Deployment", "-gateway")["spec"]
    assert render().one("Deployment", "-gateway")["spec"]["replicas"] == 2


def test_a_rollout_takes_no_gateway_away_before_there_is_another() -> None:
    spec = render().one("Deployment", "-gateway")["spec"]
    assert spec["strategy"] == {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    assert spec["minReadySeconds"] == 10


def test_a_single_pod_may_be_moved() -> None:
    """A budget for one pod would hold up every drain of its node."""
    assert len(render(sets=("workers.replicas=2",)).of_kind("PodDisruptionBudget")) == 2
    assert render(CHART / "profiles" / "tiny.yaml").of_kind("PodDisruptionBudget") == []
