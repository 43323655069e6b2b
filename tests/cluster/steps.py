"""The chart's life on a cluster: installed, tested, upgraded under load, rolled back, taken away."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.chart.helm import CHART, Object
from tests.cluster import manifests, tenant
from tests.cluster.client import ALL_OPEN
from tests.cluster.tools import HELM_TIMEOUT_S, Cluster, ToolError
from tests.cluster.waiting import Failed, wait_until

RELEASE = "gw"
# By the variable that replaces it: the chart's value.
IMAGES = {
    "GATEWAY_IMAGE": "gateway.image",
    "WORKER_IMAGE": "workers.simulator.image",
    "REDIS_IMAGE": "redis.internal.image",
}
# About 30 s at the simulator's pace: longer than a pod lives on after it has left the Service.
STREAM_WORDS = 1500
_WAIT = ("--wait", "--timeout", f"{HELM_TIMEOUT_S}s")
_PROJECT = "prj_cluster_test"
_ROLLOUT = "cluster-test/rollout"
_OF_THE_RELEASE = f"app.kubernetes.io/instance={RELEASE}"
_GATEWAYS = f"{_OF_THE_RELEASE},app.kubernetes.io/component=gateway"
# The longest that a pod may take to end is the chart's; it had streams of half a minute.
_OLD_PODS_TIMEOUT_S = 300
# What an uninstall has to take away: all but Secrets, volumes and pods of hooks.
_KINDS = (
    "deployments,statefulsets,services,configmaps,serviceaccounts,networkpolicies,"
    "poddisruptionbudgets"
)


@dataclass(frozen=True, slots=True)
class Settings:
    values: tuple[Path, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)  # value -> image
    stream_words: int = STREAM_WORDS
    keep: bool = False  # the namespace, to look into it


def run(cluster: Cluster, settings: Settings) -> bool:
    """Whether all went well; says so as it goes, and leaves nothing behind."""
    trial = _Trial(cluster, settings)
    try:
        for name, step in trial.steps():
            _play(name, step)
    except (Failed, ToolError, LookupError) as exc:
        print(f"FAILED\n\n{exc}\n", flush=True)
        print(_what_there_is(cluster))
        return False
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        raise
    finally:
        if settings.keep:
            print(f"Kept: kubectl delete namespace {cluster.namespace}")
        elif trial.has_namespace:
            _play("namespace", trial.delete_namespace)
    print("passed")
    return True


def _play(name: str, step: Callable[[], str]) -> None:
    began = time.monotonic()
    print(f"{name:<10} ", end="", flush=True)
    said = step()
    print(f"{said} ({time.monotonic() - began:.0f} s)", flush=True)


class _Trial:
    """Each step says in a few words what it has seen. They raise Failed, ToolError."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        self.has_namespace = False
        self._cluster = cluster
        self._words = settings.stream_words
        self._values = [part for each in settings.values for part in ("--values", str(each))]
        for value, image in settings.images.items():
            self._values += _flags(value, image)

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        return [
            ("namespace", self._create_namespace),
            ("install", self._install),
            ("test", self._test),
            ("load", self._begin_load),
            ("upgrade", self._upgrade),
            ("streams", self._end_load),
            ("rollback", self._roll_back),
            ("test", self._test),
            ("uninstall", self._uninstall),
        ]

    def delete_namespace(self) -> str:
        delete = ("delete", "namespace", self._cluster.namespace, "--wait", "--timeout=300s")
        self._cluster.kubectl(*delete, timeout_s=330)
        return "deleted"

    def _create_namespace(self) -> str:
        name = self._cluster.namespace
        self._cluster.kubectl("create", "--filename", "-", given=manifests.namespace(name))
        self.has_namespace = True
        return f"{name} is created; it enforces Pod Security restricted"

    def _install(self) -> str:
        self._cluster.helm("install", RELEASE, CHART, *self._values, *_WAIT)
        self._test_pod: Object = manifests.pod_of_helm_test(
            self._cluster.helm("get", "hooks", RELEASE)
        )
        self._gateway = self._test_pod["metadata"]["name"].removesuffix("-test") + "-gateway"
        gateways = self._gateways()
        if not gateways:
            raise Failed(f"no pod has the labels {_GATEWAYS}")
        return f"{len(gateways)} gateways are ready"

    def _test(self) -> str:
        self._cluster.helm("test", RELEASE, "--logs", "--timeout", "300s")
        return "helm test passed"

    def _begin_load(self) -> str:
        self._gwctl("project", "create", "cluster-test", "--id", _PROJECT)
        key = self._gwctl("key", "create", "--project", _PROJECT, "--name", "c", "--expires", "1d")
        tenant.begin(self._cluster, self._test_pod, key["token"], self._words)
        return f"{ALL_OPEN}, and short requests go on"

    def _upgrade(self) -> str:
        old = self._gateways()
        rollout = ("--set-string", f"gateway.podAnnotations.{_ROLLOUT}=upgraded")
        self._cluster.helm("upgrade", RELEASE, CHART, *self._values, *rollout, *_WAIT)
        if self._rollout() != "upgraded":
            raise Failed("helm upgrade has left the Deployment as it was")
        # Helm waits for the new ones alone; the load has to go on until the last old one has ended.
        gone = "the gateways of before the upgrade were gone"
        wait_until(lambda: not old & self._gateways(), gone, timeout_s=_OLD_PODS_TIMEOUT_S)
        return f"new gateways are ready, the {len(old)} old ones have ended"

    def _end_load(self) -> str:
        seen = tenant.end(self._cluster)
        return (
            f"{seen.streams} streams of {seen.events} events were whole,"
            f" {seen.short_requests} short requests answered"
        )

    def _roll_back(self) -> str:
        self._cluster.helm("rollback", RELEASE, *_WAIT)
        if self._rollout() is not None:
            raise Failed("helm rollback has left the Deployment as it was")
        return "the first revision is back"

    def _uninstall(self) -> str:
        self._cluster.helm("uninstall", RELEASE, *_WAIT)
        if left := self._cluster.names(_KINDS, _OF_THE_RELEASE):
            raise Failed(f"helm uninstall has left {', '.join(sorted(left))}")
        return "nothing is left but Secrets and the volume"

    def _gateways(self) -> set[str]:
        """Pods, those that are ending as well."""
        return self._cluster.names("pods", _GATEWAYS)

    def _rollout(self) -> str | None:
        template = self._cluster.get(f"deployment/{self._gateway}")["spec"]["template"]
        found: str | None = template["metadata"].get("annotations", {}).get(_ROLLOUT)
        return found

    def _gwctl(self, *arguments: str) -> Object:
        pod = f"deployment/{self._gateway}"
        found: Object = self._cluster.json("exec", pod, "--", "gwctl", *arguments, "-o", "json")
        return found


def _flags(value: str, image: str) -> list[str]:
    """`registry:5000/a/b:tag` or `...@sha256:...`, as the chart takes it."""
    name, _, digest = image.partition("@")
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:  # the colon was that of a port
        repository, tag = name, ""
    parts = {"registry": "", "repository": repository, "tag": tag, "digest": digest}
    return [
        part for key, text in parts.items() for part in ("--set-string", f"{value}.{key}={text}")
    ]


def _what_there_is(cluster: Cluster) -> str:
    """Pods, events, and the ends of the logs, as far as the cluster still tells."""
    found = []

    def show(title: str, *arguments: str) -> str:
        try:
            text = cluster.kubectl(*arguments)
        except ToolError as exc:
            text = str(exc)
        found.append(f"--- {title}\n{text.rstrip()}")
        return text

    show("pods", "get", "pods", "--output", "wide")
    show("events", "get", "events", "--sort-by", ".lastTimestamp")
    try:
        pods = cluster.get("pods")["items"]
    except ToolError:
        pods = []
    for pod in pods:
        name = pod["metadata"]["name"]
        logs = ("logs", name, "--all-containers", "--tail", "50")
        show(f"the log of {name}", *logs)
        statuses = pod.get("status", {}).get("containerStatuses", [])
        if any(each.get("restartCount") for each in statuses):
            show(f"the log of {name} before it restarted", *logs, "--previous")
    return "\n\n".join(found)
