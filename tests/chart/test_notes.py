"""What `helm install` says: the way to the first stream, and what is not for production."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.gwctl.arguments import parser
from tests.chart.cluster import Cluster, cluster
from tests.chart.helm import render

RED, PLAIN = "\x1b[31m", "\x1b[0m"
FOR_PRODUCTION = (
    'workers={"engine": "external", "external": {"endpoints": ["a:1"]}}',
    'redis={"mode": "external", "external": {"hosts": ["a"], "existingSecret": "redis"}}',
    "secrets.autoGenerate=false",
    'gateway.keyPeppers.existingSecret="a"',
    'admin.bootstrapKey.existingSecret="a"',
    'httpRoute={"enabled": true, "parentRefs": [{"name": "a"}]}',
    "gateway.config.trustedProxyHops=1",
    'metrics.prometheusRule={"enabled": true, "labels": {"release": "a"}}',
)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(tmp_path) as found:
        yield found


def test_they_lead_to_the_first_streamed_answer(empty: Cluster) -> None:
    notes = empty.notes()
    names = {each["metadata"]["name"] for each in render().objects}
    for name in re.findall(r"(?:deploy|svc)/([-\w]+)|get secret ([-\w]+)", notes):
        assert set(name) & names, name
    assert '"stream": true' in notes
    for line in re.findall(r"gwctl (.+)", notes):
        parser().parse_args(line.split())


def test_they_say_in_red_what_is_not_for_production(empty: Cluster) -> None:
    warning = empty.notes().partition(RED)[2].partition(PLAIN)[0]
    for each in ("SIMULATOR", "one Redis on one node", "made by Helm", "TLS", "one worker"):
        assert each in warning
    lossy = empty.notes("redis.internal.persistence.enabled=false", "networkPolicy.enabled=false")
    assert "are lost with the pod of Redis" in lossy
    assert "Every pod may talk to every other" in lossy
    route = empty.notes('ingress={"enabled": true, "hosts": ["a.example"]}')
    assert "All clients behind the route look like one" in route


def test_they_say_when_an_operator_will_see_nothing(empty: Cluster) -> None:
    unseen = empty.notes("metrics.podMonitor.enabled=true", "metrics.prometheusRule.enabled=true")
    assert "Not set: metrics.podMonitor.labels, metrics.prometheusRule.labels" in unseen
    assert "Not set:" not in empty.notes(*FOR_PRODUCTION)


def test_they_are_silent_where_nothing_is_left_to_do(empty: Cluster) -> None:
    assert RED not in empty.notes(*FOR_PRODUCTION)


def test_they_never_tell_a_secret(empty: Cluster) -> None:
    assert not re.search(r"[0-9a-f]{32}", empty.notes())
