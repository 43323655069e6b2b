"""Values, their schema, and what is said of them are in step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from jsonschema.validators import Draft7Validator

from gateway.iam.providers import _FIELDS as provider_fields
from tests.chart import readme
from tests.chart.helm import CHART, OLDEST_KUBERNETES, HelmError, render
from tests.chart.kubernetes import complaints
from workers.engines.simulator.cost_model import PRESETS as SIMULATOR_PRESETS
from workers.engines.trtllm.presets import PRESETS

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())


def test_the_readme_is_made_of_the_values() -> None:
    assert readme.README.read_text() == readme.written(), "run `make chart-docs`"


def test_every_value_has_a_paragraph() -> None:
    values = readme.read_values((CHART / "values.yaml").read_text())
    silent = [each.name for value in values for each in _undescribed(value)]
    assert silent == []
    told = [each for value in values for each in readme.described(value)]
    assert len(told) > 150
    assert [each.name for each in told if not each.paragraph.endswith((".", "`]`."))] == []


def _undescribed(value: readme.Value) -> Iterator[readme.Value]:
    if value.is_described:
        return
    if not value.children:
        yield value
    for each in value.children:
        yield from _undescribed(each)


def test_every_value_is_in_the_schema_and_back() -> None:
    assert sorted(_paths(DEFAULTS, SCHEMA)) == []


def _paths(value: Any, schema: Any, path: str = "") -> Iterator[str]:
    """Where the two differ, for objects that the schema closes."""
    schema = _resolved(schema)
    if not isinstance(value, dict) or schema.get("additionalProperties") is not False:
        return
    known = set(schema["properties"]) - ({"enabled"} if not path else set())
    # Of what is empty the schema alone knows what may be in it. Claims are for who has such devices.
    if value:
        yield from (f"{path}.{name}" for name in (known ^ set(value)) - {"claims"})
    for name in set(value) & known:
        yield from _paths(value[name], schema["properties"][name], f"{path}.{name}")


def _resolved(schema: Any) -> Any:
    reference = schema.get("$ref")
    return schema if reference is None else SCHEMA["definitions"][reference.rpartition("/")[2]]


def test_the_schema_is_one_and_lets_the_defaults_through() -> None:
    Draft7Validator.check_schema(SCHEMA)
    assert [each.message for each in Draft7Validator(SCHEMA).iter_errors(DEFAULTS)] == []


def test_every_object_of_ours_is_closed() -> None:
    def open_objects(schema: Any, path: str) -> Iterator[str]:
        if "properties" in schema and schema.get("additionalProperties") is not False:
            yield path
        for name, each in schema.get("properties", {}).items():
            yield from open_objects(each, f"{path}.{name}")

    assert list(open_objects(SCHEMA, "")) == [".global"]


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ("replicas=2", "Additional property replicas is not allowed"),
        ("gateway.config.maxBodyByte=1024", "maxBodyByte is not allowed"),
        ("gateway.replicas=0", "gateway.replicas"),
        ('gateway.replicas="2"', "gateway.replicas"),
        ('gateway.image.tag="latest"', "gateway.image.tag"),
        ('gateway.autoscaling.mode="both"', "gateway.autoscaling.mode"),
        ("gateway.autoscaling.minReplicas=1", "gateway.autoscaling.minReplicas"),
        ("gateway.config.degradedRateShare=1.5", "gateway.config.degradedRateShare"),
        ('workers.tensorrtllm.preset="a100-tp8"', "workers.tensorrtllm.preset"),
        ('workers.tensorrtllm.config={"model": "/x"}', "model is not allowed"),
        ('workers.external.endpoints=["worker"]', "workers.external.endpoints"),
        ('redis.internal.maxMemory="1Gi"', "redis.internal.maxMemory"),
        ('redis.external.hosts=["a,b"]', "redis.external.hosts"),
        ('redis.external.hosts=["a:65536"]', "redis.external.hosts"),
        ('redis.external.username="a@b"', "redis.external.username"),
        ('redis.external.sentinelService="a/b"', "redis.external.sentinelService"),
        ('redis.internal.maxMemory="0mb"', "redis.internal.maxMemory"),
        ('workers.external.endpoints=["a:70000"]', "workers.external.endpoints"),
        ('traces.url="http://otel:4318/v1/traces #x"', "traces.url"),
        ('gateway.image.repository="ghcr.io/llm/gateway:1.0"', "gateway.image.repository"),
        ('gateway.image.tag="1.0@sha256:ab"', "gateway.image.tag"),
        ('gateway.oidc=[{"issuer": "http://a.example", "audience": "a"}]', "gateway.oidc.0.issuer"),
        (
            'gateway.oidc=[{"issuer": "https://a", "audience": "a", "url": ""}]',
            "url is not allowed",
        ),
        ('gateway.extraEnv=[{"name": "A", "value": 1}]', "gateway.extraEnv.0.value"),
        ("gateway.config.maxDurationSeconds=1000001", "gateway.config.maxDurationSeconds"),
        ("gateway.config.idleTimeoutSeconds=1e9", "gateway.config.idleTimeoutSeconds"),
        ('gateway.config.currentDate="2026-13-01"', "gateway.config.currentDate"),
        ('gateway.config.modelAliases=["a,b"]', "gateway.config.modelAliases"),
        ("gateway.autoscaling.scaleDown.stabilizationSeconds=7200", "stabilizationSeconds"),
        ("gateway.autoscaling.scaleDown.periodSeconds=3600", "periodSeconds"),
        ('usageExporter.nodeSelector={"a": true}', "usageExporter.nodeSelector"),
        ('usageExporter.tolerations=["a"]', "usageExporter.tolerations"),
        ('seed.declarations={"project": []}', "project is not allowed"),
    ],
)
def test_a_wrong_value_is_named(wrong: str, complaint: str) -> None:
    with pytest.raises(HelmError, match="don't meet the specifications") as raised:
        render(sets=(wrong,))
    assert complaint in str(raised.value)


def test_an_umbrella_chart_may_hand_down_what_it_has() -> None:
    render(sets=("enabled=true", 'global={"storageClass": "fast", "imageRegistry": "r.example"}'))
    images = [
        pod["spec"]["containers"][0]["image"]
        for pod in render(sets=('global={"imageRegistry": "r.example"}',)).pods().values()
    ]
    assert all(image.startswith("r.example/") for image in images)


def test_the_schema_knows_the_presets_that_the_workers_know() -> None:
    workers = SCHEMA["properties"]["workers"]["properties"]
    assert workers["tensorrtllm"]["properties"]["preset"]["enum"] == list(PRESETS)
    simulator = workers["simulator"]["properties"]["config"]["properties"]["preset"]["enum"]
    assert simulator == ["", *SIMULATOR_PRESETS]


def test_a_gpu_pod_asks_for_as_many_gpus_as_its_engine_uses() -> None:
    claim = 'workers.weights.pvc={"existingClaim": "models"}'
    for name, preset in PRESETS.items():
        sets = ('workers.engine="tensorrtllm"', claim, f'workers.tensorrtllm.preset="{name}"')
        pod = render(sets=sets).pods()["StatefulSet/gw-llm-gateway-worker"]
        limits = pod["spec"]["containers"][0]["resources"]["limits"]
        assert limits["nvidia.com/gpu"] == str(preset.tensor_parallel), name


def _empty_values(value: Any, schema: Any, path: str = "") -> Iterator[str]:
    """What is a collection: people leave its key there, with all that was below commented out."""
    for name, each in value.items():
        below = _resolved(schema["properties"][name])
        if isinstance(each, dict) and below.get("additionalProperties") is False and each:
            if name != "resources":
                yield from _empty_values(each, below, f"{path}{name}.")
        elif isinstance(each, (dict, list)) and not below.get("minItems"):
            yield f"{path}{name}"


@pytest.mark.parametrize(
    "sets",
    [
        (),
        (
            'workers.engine="tensorrtllm"',
            'workers.weights={"pvc": {"size": "80Gi"}, "job": {"enabled": true}}',
        ),
        ('redis={"mode": "external", "external": {"existingSecret": "redis", "urlKey": "url"}}',),
    ],
    ids=["simulator", "gpu", "external-redis"],
)
def test_a_collection_without_anything_in_it_is_an_empty_one(sets: tuple[str, ...]) -> None:
    empty = [each for each in _empty_values(DEFAULTS, SCHEMA) if "SecurityContext" not in each]
    assert len(empty) > 50
    rendered = render(sets=(*sets, *(f"{each}=null" for each in empty)))
    found = [each for one in rendered.objects for each in complaints(one, OLDEST_KUBERNETES)]
    assert found == []


@pytest.mark.parametrize(
    "taken_away",
    [
        *("gateway.tls", "gateway.drain", "admin.tls.certManager", "redis.external.tls", "traces"),
        *(f"gateway.config.{each}" for each in ("maxDurationSeconds", "queueTimeoutSeconds")),
        *("workers.tensorrtllm.preset", "redis.internal.persistence.enabled"),
    ],
)
def test_a_value_that_is_needed_cannot_be_taken_away(taken_away: str) -> None:
    """Null takes a default away. Without these the pods' time to end would be added up wrongly."""
    section, _, name = taken_away.rpartition(".")
    with pytest.raises(HelmError, match=rf"{section or 'root'}\)?: {name} is required"):
        render(sets=(f"{taken_away}=null",))


def test_identity_providers_have_the_fields_that_the_gateway_reads() -> None:
    schema = SCHEMA["properties"]["gateway"]["properties"]["oidc"]["items"]["properties"]
    assert set(schema) == provider_fields
