"""What the chart sets is what gateway and worker read: names, defaults, and that they take it."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config import Settings
from gateway.create_response import DEADLINE_MARGIN_S
from gateway.quota.service_tier import _PATIENCE, ServiceTier
from gateway.store.acl import acl_rules
from tests.chart.examples import each_example
from tests.chart.helm import CHART, Object, Rendered, render
from workers.engines.trtllm.configuration import _VARIABLES, read_configuration
from workers.settings import read_settings

# Names of the environment that are nobody's settings: parts of REDIS_URL, and where files go.
NO_SETTINGS = {"REDIS_PASSWORD", "REDIS_SENTINEL_PASSWORD"}
SECRETS = {
    "GATEWAY_KEY_PEPPERS": f"1:{'ab' * 32}",
    "GATEWAY_ADMIN_KEY": "a" * 64,
    "REDIS_PASSWORD": "secret",
    "REDIS_SENTINEL_PASSWORD": "other",
    "REDIS_URL": "redis://gateway:secret@redis.example:6379/0",
}


def variable(name: str) -> str:
    field = Settings.model_fields[name]
    return str(field.validation_alias or f"GATEWAY_{name.upper()}")


VARIABLES = {variable(name): name for name in Settings.model_fields}


def environment(rendered: Rendered) -> dict[str, str]:
    """Of the gateway's container, as the kubelet puts it together; secrets made up."""
    container = rendered.one("Deployment", "-gateway")["spec"]["template"]["spec"]["containers"][0]
    (source,) = container["envFrom"]
    (settings,) = [
        each
        for each in rendered.of_kind("ConfigMap")
        if each["metadata"]["name"] == source["configMapRef"]["name"]
    ]
    found: dict[str, str] = dict(settings["data"])
    for each in container["env"]:
        text = each["value"] if "value" in each else SECRETS[each["name"]]
        found[each["name"]] = re.sub(r"\$\((\w+)\)", lambda match: found[match[1]], text)
    return found


def with_files(found: dict[str, str], directory: Path) -> dict[str, str]:
    """Every path in *found* below *directory*, with a file there: settings ask for them."""
    moved = {}
    for name, text in found.items():
        if name.endswith("_FILE"):
            path = directory / text.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
            moved[name] = str(path)
        else:
            moved[name] = text
    return moved


@each_example
def test_the_gateway_takes_what_the_chart_renders(
    values: tuple[Path, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = render(*values)
    found = environment(rendered)
    own = {name: text for name, text in found.items() if name.startswith(("GATEWAY", "REDIS"))}
    assert set(own) - set(VARIABLES) - NO_SETTINGS == set()
    moved = with_files(own, tmp_path)
    if "GATEWAY_PRICES_FILE" in moved:
        prices = rendered.one("ConfigMap", "-prices")["data"]["prices.yaml"]
        Path(moved["GATEWAY_PRICES_FILE"]).write_text(prices)
    for name, text in moved.items():
        monkeypatch.setenv(name, text)
    settings = Settings()
    assert settings.drain_timeout_s > 0
    assert settings.worker_tls is None or settings.worker_tls_ca_file is not None
    for name, text in found.items():
        if name in VARIABLES and not name.endswith("_FILE") and name not in SECRETS:
            assert _is_said(getattr(settings, VARIABLES[name]), text), name


def _is_said(value: Any, text: str) -> bool:
    match value:
        case tuple():
            return ",".join(value) == text
        case bool():
            return text == str(value).lower()
        case float() | int():
            return float(text) == value
        case _:
            return str(value) == text


def test_every_setting_has_a_value_or_is_the_charts_own_business() -> None:
    from_values = {_snake(key) for key in _defaults()["gateway"]["config"]}
    own = {
        *("host", "port", "ops_host", "ops_port", "tls_certificate_file", "tls_key_file"),
        *("redis_url", "redis_ca_file", "redis_without_password", "workers"),
        *("worker_tls_ca_file", "worker_tls_certificate_file", "worker_tls_key_file"),
        *("worker_tls_server_name", "key_peppers", "oidc", "prices_file", "denylist_file"),
        *("admin_host", "admin_port", "admin_key"),
        *("admin_tls_certificate_file", "admin_tls_key_file"),
        *("spool_dir", "drain_delay_s", "drain_timeout_s", "drain_scrape_s"),
        *("traces_url", "traces_share", "traces_of_clients", "traces_of_workers"),
    }
    assert from_values | own == set(Settings.model_fields)
    assert from_values & own == set()


def test_values_have_the_defaults_of_the_product() -> None:
    for key, value in _defaults()["gateway"]["config"].items():
        default = Settings.model_fields[_snake(key)].default
        assert (list(default) if isinstance(default, tuple) else default) == value, key


def test_traces_have_the_defaults_of_the_product() -> None:
    for key, value in _defaults()["traces"].items():
        default = Settings.model_fields[f"traces_{_snake(key)}"].default
        assert (default or "") == value, key


@each_example
def test_the_worker_takes_what_the_chart_renders(values: tuple[Path, ...]) -> None:
    rendered = render(*values)
    pods = rendered.pods()
    worker = [pod for name, pod in pods.items() if name.endswith("-worker")]
    if not worker:
        return
    found = {
        each["name"]: each["value"] for each in worker[0]["spec"]["containers"][0].get("env", [])
    }
    settings = read_settings(found)
    assert settings.engine == found["WORKER_ENGINE"]
    assert {name for name in found if name.startswith("WORKER_")} <= _known_to_workers()
    assert settings.context_tokens == int(environment(rendered)["GATEWAY_CONTEXT_TOKENS"])
    assert settings.drain_file is not None
    if settings.engine == "tensorrt-llm":
        configuration = read_configuration(found, settings)
        mounted = {each["mountPath"] for each in worker[0]["spec"]["containers"][0]["volumeMounts"]}
        assert any(configuration.model.startswith(path) for path in mounted)


def test_the_workers_defaults_are_those_of_the_product() -> None:
    workers = _defaults()["workers"]
    plain = read_settings({})
    for key, value in workers["config"].items():
        name = _snake(key)
        where = plain.grammar if name.startswith("grammar_") else plain
        assert getattr(where, name.removeprefix("grammar_")) == value, key
    for key, value in workers["simulator"]["config"].items():
        assert value is None or getattr(plain.simulator, _snake(key)) == value, key
    assert workers["drain"]["seconds"] * 1000 == plain.drain_ms


def test_every_setting_of_a_worker_has_a_value_or_a_reason_to_have_none() -> None:
    workers = _defaults()["workers"]
    from_values = {f"WORKER_{_snake(key).upper()}" for key in workers["config"]}
    from_values |= {
        f"WORKER_SIMULATOR_{_snake(key).upper()}" for key in workers["simulator"]["config"]
    }
    own = {"WORKER_ENGINE", "WORKER_CONTEXT_TOKENS", "WORKER_DRAIN_FILE", "WORKER_DRAIN_MS"}
    # For tests; of the contract; and what only whoever measures should touch (workers.extraEnv).
    none = {
        *("WORKER_SIMULATOR_DIRECTIVES", "WORKER_HEARTBEAT_MS", "WORKER_CANCEL_POLL_MS"),
        *("WORKER_GRAMMAR_COMPILE_FUEL", "WORKER_GRAMMAR_STEP_FUEL"),
    }
    known = {name for name in _known_to_workers() if not name.startswith("WORKER_TRTLLM_")}
    assert from_values | own | none == known


def test_everything_that_replaces_a_preset_is_a_setting_of_the_engine() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["workers"]
    names = schema["properties"]["tensorrtllm"]["properties"]["config"]["properties"]
    variables = {f"WORKER_TRTLLM_{_snake(name).upper()}" for name in names}
    assert variables | {"WORKER_TRTLLM_MODEL", "WORKER_TRTLLM_PRESET"} == set(_VARIABLES)


def test_the_user_of_the_internal_redis_has_the_rights_that_it_needs() -> None:
    (redis,) = render().pods()["StatefulSet/gw-llm-gateway-redis"]["spec"]["containers"]
    rights = {each["name"]: each.get("value") for each in redis["env"]}["REDIS_RIGHTS"]
    assert rights == acl_rules()


@each_example
def test_pods_have_the_time_to_end_that_they_take(values: tuple[Path, ...]) -> None:
    rendered = render(*values)
    pod = rendered.one("Deployment", "-gateway")["spec"]["template"]["spec"]
    found = environment(rendered)
    hook = pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {})
    delay, timeout = (float(found[f"GATEWAY_DRAIN_{name}_S"]) for name in ("DELAY", "TIMEOUT"))
    grace = pod["terminationGracePeriodSeconds"]
    assert hook.get("seconds", 0) + delay + timeout + 10 <= grace
    if "pods-values" not in values[0].stem:  # which accepts that streams are cut
        assert timeout >= _longest_request_s(found)
    for name, worker in rendered.pods().items():
        if name.endswith("-worker"):
            _check_worker(worker["spec"])


def _check_worker(spec: Object) -> None:
    (container,) = spec["containers"]
    found = {each["name"]: each["value"] for each in container["env"]}
    waits_s = float(container["lifecycle"]["preStop"]["exec"]["command"][-1])
    (exits,) = [each for each in container["args"] if each.startswith("--exit-timeout-secs=")]
    # The model ends what still runs before the hook gives up, and Triton has nothing to wait for.
    assert float(found["WORKER_DRAIN_MS"]) / 1000 + 5 <= waits_s
    assert waits_s + float(exits.partition("=")[2]) + 10 <= spec["terminationGracePeriodSeconds"]


def _longest_request_s(found: dict[str, str]) -> float:
    waits_s = _PATIENCE[ServiceTier.FLEX] * float(found["GATEWAY_QUEUE_TIMEOUT_S"])
    return (
        float(found["GATEWAY_BODY_TIMEOUT_S"])
        + waits_s
        + float(found["GATEWAY_MAX_DURATION_S"])
        + DEADLINE_MARGIN_S
    )


def test_a_pepper_is_made_as_the_gateway_wants_it() -> None:
    secret = render().one("Secret", "-key-peppers")["data"]["key-peppers"]
    assert re.fullmatch(r"1:[0-9a-f]{64}", base64.b64decode(secret).decode())


def _defaults() -> Any:
    return yaml.safe_load((CHART / "values.yaml").read_text())


def _snake(key: str) -> str:
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower()
    return re.sub(r"_seconds$", "_s", snake)


def _known_to_workers() -> set[str]:
    return set(re.findall(r"`(WORKER_\w+)`", Path("docs/configuration.md").read_text()))
