"""The chart renders, for every example and every Kubernetes, what Kubernetes takes."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.chart.examples import EXAMPLES, each_example
from tests.chart.helm import CHART, OLDEST_KUBERNETES, HelmError, Rendered, helm, render
from tests.chart.kubernetes import complaints, versions
from tests.chart.pod_security import shortcomings, violations


def test_helm_finds_nothing_to_complain_of() -> None:
    for values in EXAMPLES:
        helm("lint", "--strict", CHART, *(part for each in values for part in ("--values", each)))


@each_example
@pytest.mark.parametrize("version", versions())
def test_every_kubernetes_takes_every_example(values: tuple[Path, ...], version: str) -> None:
    rendered = render(*values, kubernetes=version)
    assert [each for found in rendered.objects for each in complaints(found, version)] == []


def test_a_field_that_there_is_not_would_be_found() -> None:
    deployment = render().one("Deployment", "-gateway")
    wrong = {**deployment, "spec": {**deployment["spec"], "replica": 2}}
    assert complaints(deployment, "1.30") == []
    assert len(complaints(wrong, "1.30")) == 1
    route = render(CHART / "ci" / "http-route-values.yaml").one("HTTPRoute")
    assert len(complaints({**route, "spec": {**route["spec"], "timeouts": {}}}, "1.30")) == 1


@each_example
def test_names_are_taken_once_and_are_short_enough(values: tuple[Path, ...]) -> None:
    long = render(*values, release="a-release-with-a-name-of-53-characters-which-is-most0")
    for rendered in (render(*values), long):
        names = [(each["kind"], each["metadata"]["name"]) for each in rendered.objects]
        assert len(set(names)) == len(names)
        assert all(len(name) <= 63 and not name.endswith("-") for _, name in names)


@pytest.mark.parametrize("release", ["2026", "gw.v1"])
def test_a_release_whose_name_is_no_services_is_told_so(release: str) -> None:
    with pytest.raises(HelmError, match="Set fullnameOverride"):
        render(release=release)
    rendered = render(release=release, sets=('fullnameOverride="gw"',))
    assert [each for one in rendered.objects for each in complaints(one, OLDEST_KUBERNETES)] == []


# A name of digits is a name, and so is `1e3`.
NUMBERS = [
    (
        'redis.mode="external"',
        'redis.external.hosts=["a"]',
        'redis.external.existingSecret="12"',
        'redis.external.passwordKey="1"',
        'redis.external.tls={"enabled": true, "caSecret": "1e3"}',
        'workers.engine="tensorrtllm"',
        'workers.priorityClassName="6"',
        'workers.weights.pvc.existingClaim="77"',
        'workers.weights.job={"enabled": true, "existingSecret": "0"}',
        'workers.tensorrtllm.runtimeClassName="7"',
        'workers.tls={"enabled": true, "existingSecret": "1", "gatewaySecret": "2"}',
        'workers.tls.serverName="10"',
        'gateway.tls={"enabled": true, "existingSecret": "3"}',
        'gateway.service={"type": "LoadBalancer", "loadBalancerClass": "5"}',
        'seed={"declarations": {"projects": [{"name": "a"}]}, "tokensSecret": "4"}',
        'ingress={"enabled": true, "className": "8", "hosts": ["a.example"]}',
        'serviceAccount.name="9"',
        'test.existingSecret="11"',
    ),
    (
        'redis.internal={"persistence": {"storageClass": "1"}, "passwordKey": "1.0"}',
        'admin.bootstrapKey.key="1"',
        'gateway.keyPeppers.key="true"',
        'nameOverride="12"',
    ),
]


@pytest.mark.parametrize("sets", NUMBERS, ids=["of-ones-own", "made"])
def test_a_text_that_looks_like_a_number_stays_a_text(sets: tuple[str, ...]) -> None:
    rendered = render(sets=(*sets, 'fullnameOverride="gw"'), release="2026")
    assert [each for one in rendered.objects for each in complaints(one, OLDEST_KUBERNETES)] == []


def test_common_annotations_are_on_every_object() -> None:
    rendered = render(
        CHART / "ci" / "monitoring-values.yaml", sets=('commonAnnotations={"a": "b"}',)
    )
    without = [
        each["metadata"]["name"]
        for each in rendered.objects
        if each["metadata"].get("annotations", {}).get("a") != "b"
    ]
    assert without == []


@each_example
def test_every_selector_finds_the_pods_of_its_component(values: tuple[Path, ...]) -> None:
    rendered = render(*values)
    pods = [pod["metadata"]["labels"] for pod in rendered.pods().values()]
    for each in rendered.of_kind("Service", "PodDisruptionBudget", "PodMonitor", "NetworkPolicy"):
        spec = each["spec"]
        selector = spec.get("podSelector") or spec["selector"]
        wanted = selector.get("matchLabels", selector)
        assert any(wanted.items() <= labels.items() for labels in pods), each["metadata"]["name"]


@each_example
def test_what_pods_refer_to_is_there_or_was_said_to_be(values: tuple[Path, ...]) -> None:
    rendered = render(*values)
    text = "\n".join(each.read_text() for each in values)
    made = {each["metadata"]["name"] for each in rendered.objects} | {
        each["spec"]["secretName"] for each in rendered.of_kind("Certificate")
    }
    for pod in rendered.pods().values():
        named = re.findall(
            r"(?:configMapRef|secretKeyRef|configMap): \{.*?name: ([-\w.]+)"
            r"|(?:secretName|claimName): ([-\w.]+)",
            yaml.safe_dump(pod["spec"], default_flow_style=True, width=100_000),
        )
        for name in (first or second for first, second in named):
            assert name in made or name in text, name


@each_example
def test_no_number_is_written_as_a_float_with_an_exponent(values: tuple[Path, ...]) -> None:
    """Helm reads numbers as floats; 1.6777216e+07 is no number of bytes to anybody."""
    assert not re.search(r"\d(\.\d+)?e\+\d", yaml.safe_dump(list(render(*values).objects)))


@each_example
def test_every_pod_is_restricted(values: tuple[Path, ...]) -> None:
    for name, pod in render(*values).pods().items():
        found = list(violations(pod))
        asks_for_it = values[0].stem == "gpu-host-path-values" and name.endswith("-worker")
        assert found == (["volume weights is a {'hostPath'}"] if asks_for_it else []), name


def test_a_pod_that_is_not_restricted_would_be_found() -> None:
    for wrong, found in (
        ({"runAsNonRoot": False}, "may be root"),
        ({"allowPrivilegeEscalation": True}, "may escalate privileges"),
        ({"capabilities": {"drop": ["ALL"], "add": ["IPC_LOCK"]}}, "has capabilities"),
        ({"seccompProfile": None}, "has no seccomp profile"),
        ({"privileged": True}, "privileged"),
    ):
        pod = yaml.safe_load(yaml.safe_dump(render().pods()["Deployment/gw-llm-gateway-gateway"]))
        pod["spec"].setdefault("securityContext", {}).update(
            {key: value or {} for key, value in wrong.items() if key in ("seccompProfile",)}
        )
        pod["spec"]["containers"][0]["securityContext"].update(
            {key: value for key, value in wrong.items() if key not in ("seccompProfile",)}
        )
        assert any(found in each for each in violations(pod)), wrong


@each_example
def test_every_pod_has_what_we_want_of_it(values: tuple[Path, ...]) -> None:
    for name, pod in render(*values).pods().items():
        assert list(shortcomings(pod)) == [], name


def test_the_secrets_of_the_production_profile_are_told_how_to_make() -> None:
    page = Path("docs/production.md").read_text()
    profiles = [CHART / "profiles" / f"{each}.yaml" for each in ("gpu", "production")]
    text = json.dumps(render(*profiles).objects)
    for name, key in re.findall(r'"secretKeyRef": \{"name": "(\S+)", "key": "(\S+)"', text):
        assert re.search(rf"create secret generic {name} --from-literal={key}=", page), name
    (authorities,) = set(re.findall(r'"secretName": "(\S+)"', text))
    assert f"create secret generic {authorities} --from-file=ca.crt" in page


def test_no_secret_is_outside_of_a_secret() -> None:
    rendered = render()
    secrets = {
        value for each in rendered.of_kind("Secret") for value in each.get("data", {}).values()
    }
    assert len(secrets) == 3
    others = [each for each in rendered.objects if each["kind"] != "Secret"]
    assert not any(value in yaml.safe_dump(others) for value in secrets)


def test_zero_values_ask_for_nothing_that_a_plain_cluster_has_not() -> None:
    groups = {each["apiVersion"].rpartition("/")[0] for each in render().objects}
    assert groups == {"", "apps", "policy", "networking.k8s.io"}


DEDICATED = """{
  "nodeSelector": {"pool": "ai"},
  "tolerations": [{"key": "pool", "operator": "Exists"}],
  "affinity": {"nodeAffinity": {}, "podAntiAffinity": {}}
}"""


@pytest.mark.parametrize(
    ("component", "sets"),
    [
        ("gateway", ('seed.declarations={"projects": [{"name": "a"}]}',)),
        ("workers", ('workers.engine="tensorrtllm"', 'workers.weights.pvc={"size": "80Gi"}')),
    ],
)
def test_jobs_find_nodes_where_all_are_dedicated(component: str, sets: tuple[str, ...]) -> None:
    """They would stay pending: `helm install` waits for a hook until its deadline."""
    given = [f"{component}.{key}={json.dumps(each)}" for key, each in json.loads(DEDICATED).items()]
    rendered = render(sets=(*sets, "workers.weights.job.enabled=true", *given))
    names = {"gateway": ("seed", "-test"), "workers": ("-weights-",)}[component]
    pods = [pod["spec"] for name, pod in rendered.pods().items() if any(e in name for e in names)]
    assert len(pods) == len(names)
    for pod in pods:
        assert pod["nodeSelector"] == {"pool": "ai"}
        assert {"key": "pool", "operator": "Exists"} in pod["tolerations"]
        assert pod["affinity"] == {"nodeAffinity": {}}


def test_a_volume_of_one_node_is_filled_on_the_node_of_a_worker() -> None:
    """The workers that wait for the Job hold the volume: elsewhere it would wait for them."""
    once = 'workers.weights.pvc.accessModes=["ReadWriteOnce"]'
    rendered = render(CHART / "profiles" / "gpu.yaml", sets=(once,))
    (job,) = [pod["spec"] for name, pod in rendered.pods().items() if name.startswith("Job/")]
    worker = rendered.one("StatefulSet", "-worker")["spec"]
    (term,) = job["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert term["labelSelector"] == worker["selector"]
    assert job["tolerations"] == worker["template"]["spec"]["tolerations"]
    assert complaints(rendered.one("Job"), OLDEST_KUBERNETES) == []


def test_the_pod_that_checks_gpus_is_one_and_is_restricted() -> None:
    document = Path("docs/gpu.md").read_text()
    block = re.search(r"(?:^ {4}.*\n)+", document[document.index("    apiVersion") :], re.MULTILINE)
    assert block is not None
    pod = yaml.safe_load(block[0])
    assert complaints(pod, versions()[-1]) == []
    assert list(violations(pod)) == []
    gpu = render(CHART / "profiles" / "gpu.yaml").pods()["StatefulSet/gw-llm-gateway-worker"]
    image = gpu["spec"]["containers"][0]["image"]
    assert pod["spec"]["containers"][0]["image"] == image


def test_the_chart_carries_the_version_of_the_product() -> None:
    product = tomllib.loads(Path("pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == product
    images = [pod["spec"]["containers"][0]["image"] for pod in render().pods().values()]
    assert {image.rpartition(":")[2] for image in images} == {product, "8.1.4"}


def test_the_chart_is_packaged_without_what_only_tests_need(tmp_path: Path) -> None:
    helm("package", CHART, "--destination", tmp_path)
    (package,) = tmp_path.glob("*.tgz")
    shutil.unpack_archive(package, tmp_path)
    there = {each.name for each in (tmp_path / "llm-gateway").iterdir()}
    assert {"files", "profiles", "values.schema.json", "README.md"} <= there
    assert "ci" not in there
    assert _names(render(chart=tmp_path / "llm-gateway")) == _names(render())


def _names(rendered: Rendered) -> list[tuple[str, str]]:
    return [(each["kind"], each["metadata"]["name"]) for each in rendered.objects]
