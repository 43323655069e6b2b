"""Values that do not go together are refused, with a sentence that says what to do."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

import pytest

from tests.chart.helm import CHART, HelmError, render

EXTERNAL = 'redis.mode="external"'
SECRET = 'redis.external.existingSecret="redis"'
HOSTS = 'redis.external.hosts=["a"]'
GPU = 'workers.engine="tensorrtllm"'
CLAIM = 'workers.weights.pvc.existingClaim="models"'

# What is set, and the beginning of what is said.
REFUSED: list[tuple[Sequence[str], str]] = [
    (['fullnameOverride="gw.v1"'], "The names of all objects would begin with gw.v1"),
    (['fullnameOverride="7b"'], "The names of all objects would begin with 7b"),
    (['nameOverride="llm.v1"'], "The names of all objects would begin with gw-llm.v1"),
    (
        ['commonLabels={"app.kubernetes.io/instance": "x"}'],
        "commonLabels must not set app.kubernetes.io/instance",
    ),
    (
        ['gateway.podLabels={"app.kubernetes.io/component": "edge"}'],
        "gateway.podLabels must not set app.kubernetes.io/component",
    ),
    (
        ['metrics.podMonitor.labels={"app.kubernetes.io/managed-by": "x"}'],
        "metrics.podMonitor.labels must not set app.kubernetes.io/managed-by",
    ),
    (["secrets.autoGenerate=false"], "gateway.keyPeppers.existingSecret is needed"),
    (["secrets.autoGenerate=false"], "admin.bootstrapKey.existingSecret is needed"),
    (["secrets.autoGenerate=false"], "redis.internal.existingSecret is needed"),
    ([EXTERNAL, 'redis.external.urlKey="url"'], "redis.external.urlKey needs redis.external.exist"),
    ([EXTERNAL, SECRET], "redis.mode=external needs redis.external.hosts"),
    (
        [EXTERNAL, SECRET, 'redis.external.hosts=["a", "b"]'],
        "redis.external.hosts has several for one server",
    ),
    ([EXTERNAL, HOSTS], "redis.external.existingSecret is needed: gateways refuse"),
    (
        [EXTERNAL, HOSTS, 'redis.external.username="gw"', 'redis.external.withoutPassword="allow"'],
        "redis.external.username needs redis.external.existingSecret",
    ),
    (
        [EXTERNAL, HOSTS, SECRET, 'redis.external.tls.caSecret="authority"'],
        "redis.external.tls.caSecret needs redis.external.tls.enabled=true",
    ),
    (
        ['seed.declarations.keys=[{"name": "a", "token_file": "tokens/a"}]'],
        "seed.declarations.keys has the token_file tokens/a: write /tokens/<name>",
    ),
    (
        [EXTERNAL, HOSTS, SECRET, 'redis.external.topology="sentinel"'],
        "redis.external.sentinelService is needed",
    ),
    (
        [EXTERNAL, HOSTS, SECRET, 'redis.external.sentinelPasswordKey="x"'],
        "redis.external.sentinelPasswordKey is for topology sentinel",
    ),
    (
        [EXTERNAL, HOSTS, SECRET, 'redis.external={"topology": "cluster", "database": 1}'],
        "redis.external.database must be 0",
    ),
    (
        [
            *(EXTERNAL, HOSTS, SECRET, 'redis.external.topology="cluster"'),
            "gateway.config.redisReplicas=1",
        ],
        "gateway.config.redisReplicas must be 0 with a cluster",
    ),
    (["gateway.config.redisReplicas=1"], "gateway.config.redisReplicas must be 0 with redis.mode"),
    (
        ['gateway.extraEnv=[{"name": "REDIS_PASSWORD", "value": "x"}]'],
        "gateway.extraEnv must not set REDIS_PASSWORD",
    ),
    (
        ['redis.internal.maxMemory="1gb"'],
        "redis.internal.resources.limits.memory (512Mi) must be twice redis.internal.maxMemory",
    ),
    (['redis.internal.image.tag=""'], "redis.internal.image needs a tag or a digest"),
    (
        ["gateway.config.maxBufferedBytes=1073741824"],
        "gateway.resources.limits.memory (1Gi) is less than gateway.config.maxBufferedBytes",
    ),
    (['traces.url="https://me:secret@otel:4318/v1/traces"'], "traces.url must hold no password"),
    (
        [GPU, CLAIM, 'workers.tensorrtllm.resources={"requests": {"nvidia.com/gpu": 4}}'],
        "workers.tensorrtllm.resources must not hold nvidia.com/gpu",
    ),
    (["gateway.drain.timeoutSeconds=300"], "gateway.drain.timeoutSeconds (300) is shorter than"),
    (
        ["gateway.config.maxBodyBytes=134217728"],
        "gateway.config.maxBufferedBytes must be four times maxBodyBytes or more, 536870912",
    ),
    (
        ["gateway.config.maxOutputTokens=1000"],
        "gateway.config.defaultMaxOutputTokens must not exceed maxOutputTokens",
    ),
    (
        ["gateway.config.contextTokens=2048"],
        "gateway.config.defaultMaxOutputTokens must not exceed maxOutputTokens",
    ),
    (["gateway.config.renewIntervalSeconds=10.5"], "gateway.config.leaseSeconds must be three"),
    (
        ['gateway.extraEnv=[{"name": "GATEWAY_MAX_BODY_BYTES", "value": "1"}]'],
        "gateway.extraEnv must not set GATEWAY_MAX_BODY_BYTES",
    ),
    (
        ['gateway.extraEnv=[{"name": "REDIS_URL", "value": "redis://a"}]'],
        "gateway.extraEnv must not set REDIS_URL",
    ),
    (['workers.engine="external"'], "workers.engine=external needs workers.external.endpoints"),
    (
        ['workers={"engine": "external", "external": {"endpoints": ["a:1"]}}']
        + ["workers.tls.enabled=true"],
        "workers.tls.gatewaySecret is needed for external workers",
    ),
    (
        ['workers={"engine": "external", "external": {"endpoints": ["a:1"]}}']
        + ['workers.tls={"enabled": true, "certManager": {"enabled": true}}'],
        "workers.tls.certManager is for workers of this chart",
    ),
    (['gateway.config.model="llama"'], "gateway.config.model must be gpt-oss-120b"),
    (
        ["workers.tls.enabled=true", 'workers.tls.existingSecret="a"'],
        "workers.tls.enabled needs workers.tls.existingSecret and workers.tls.gatewaySecret",
    ),
    (
        ['workers.extraEnv=[{"name": "WORKER_DRAIN_MS", "value": "1"}]'],
        "workers.extraEnv must not set WORKER_DRAIN_MS",
    ),
    ([GPU], "workers.weights.pvc needs existingClaim, or size"),
    ([GPU, 'workers.weights.source="hostPath"'], "workers.weights.hostPath is needed"),
    (
        [GPU, 'workers.weights={"source": "hostPath", "hostPath": "/m", "job": {"enabled": true}}'],
        "workers.weights.job fills a pvc",
    ),
    (
        [GPU, CLAIM, "workers.weights.job.enabled=true", 'workers.weights.subPath=""'],
        "workers.weights.subPath is needed with workers.weights.job",
    ),
    (
        [GPU, 'workers.weights.pvc={"size": "80Gi", "accessModes": ["ReadWriteOncePod"]}']
        + ["workers.weights.job.enabled=true"],
        "workers.weights.pvc.accessModes must hold ReadWriteMany or ReadWriteOnce",
    ),
    (
        [GPU, CLAIM, 'workers.tensorrtllm.resources={"limits": {"nvidia.com/gpu": 4}}'],
        "workers.tensorrtllm.resources must not hold nvidia.com/gpu",
    ),
    (["gateway.tls.enabled=true"], "gateway.tls.enabled needs gateway.tls.existingSecret"),
    (["admin.tls.enabled=true"], "admin.tls.enabled needs admin.tls.existingSecret"),
    (
        ['gateway.tls={"existingSecret": "a", "certManager": {"enabled": true}}'],
        "gateway.tls has both existingSecret and certManager.enabled",
    ),
    (
        ["workers.tls.enabled=true", "workers.tls.certManager.enabled=true"],
        "workers.tls.certManager.issuerRef.name is needed",
    ),
    (
        ['gateway.autoscaling={"mode": "hpa", "minReplicas": 5, "maxReplicas": 4}'],
        "gateway.autoscaling.minReplicas must not exceed maxReplicas",
    ),
    (
        ['gateway.autoscaling.mode="hpa"', "gateway.resources.requests=null"],
        "gateway.autoscaling.mode=hpa needs gateway.resources.requests.cpu",
    ),
    (
        ['gateway.autoscaling.mode="keda"'],
        "gateway.autoscaling.mode=keda needs gateway.autoscaling.prometheusAddress",
    ),
    (["httpRoute.enabled=true"], "httpRoute.parentRefs is needed"),
    (["ingress.enabled=true"], "ingress.hosts is needed"),
    (
        ['seed.declarations.keys=[{"name": "a", "token": "gw_x"}]'],
        "seed.declarations.keys must not hold tokens",
    ),
    (
        ['seed.declarations.keys=[{"name": "a", "token_file": "/tokens/a"}]'],
        "seed.tokensSecret is needed",
    ),
]


@functools.cache
def refusal(sets: tuple[str, ...]) -> str:
    with pytest.raises(HelmError) as raised:
        render(sets=sets)
    return str(raised.value)


@pytest.mark.parametrize(("sets", "sentence"), REFUSED, ids=[said for _, said in REFUSED])
def test_it_is_refused_with_a_sentence(sets: Sequence[str], sentence: str) -> None:
    assert f"  - {sentence}" in refusal(tuple(sets))


def test_all_that_is_wrong_is_said_at_once() -> None:
    said = refusal(("secrets.autoGenerate=false", "httpRoute.enabled=true"))
    assert said.count("\n  - ") == 4


def test_every_sentence_of_the_chart_is_shown_by_a_test() -> None:
    source = (CHART / "templates" / "_validate.tpl").read_text()
    written = re.findall(r'append \$found \(?(?:printf )?"((?:[^"\\]|\\.)*)"', source)
    assert len(written) > 35
    said = "".join(refusal(tuple(sets)) for sets, _ in REFUSED)
    for sentence in written:
        pattern = re.escape(sentence.replace('\\"', '"')).replace("%s", ".*").replace("%d", r"\d+")
        assert re.search(pattern, said), sentence
