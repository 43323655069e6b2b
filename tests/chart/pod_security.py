"""Pod Security's profile `restricted`, and what else we want of every pod of ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.chart.helm import Object

VOLUMES = {"configMap", "secret", "emptyDir", "persistentVolumeClaim"}


def violations(pod: Object) -> Iterator[str]:
    """Of `restricted`, as Kubernetes 1.30 and newer enforce it; host paths apart."""
    spec = pod["spec"]
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield name
    for volume in spec.get("volumes", []):
        kinds = set(volume) - {"name"}
        if not kinds <= VOLUMES:
            yield f"volume {volume['name']} is a {kinds}"
    for each in containers(spec):
        yield from (f"{each['name']}: {found}" for found in _of_container(each, spec))


def containers(spec: Object) -> list[Any]:
    return [*spec.get("initContainers", []), *spec["containers"]]


def _of_container(container: Object, spec: Object) -> Iterator[str]:
    context = {**spec.get("securityContext", {}), **container.get("securityContext", {})}
    if context.get("privileged"):
        yield "privileged"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "may escalate privileges"
    if context.get("runAsNonRoot") is not True or context.get("runAsUser") == 0:
        yield "may be root"
    if context.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "has no seccomp profile"
    capabilities = context.get("capabilities", {})
    if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
        yield f"has capabilities: {capabilities}"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield "takes a port of the host"


def shortcomings(pod: Object) -> Iterator[str]:
    """Of what no profile asks for."""
    spec = pod["spec"]
    if spec.get("automountServiceAccountToken") is not False:
        yield "has a token of the Kubernetes API"
    if spec.get("enableServiceLinks") is not False:
        yield "gets variables of Services, GATEWAY_PORT perhaps"
    for each in containers(spec):
        name, resources = each["name"], each.get("resources", {})
        if each.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
            yield f"{name} may write to its root"
        if not {"cpu", "memory"} <= set(resources.get("requests", {})):
            yield f"{name} requests too little to be placed well"
        if "memory" not in resources.get("limits", {}):
            yield f"{name} may take all memory of a node"
        if "cpu" in resources.get("limits", {}):
            yield f"{name} is throttled, which is jitter in streams"
        if each["image"].endswith(":latest") or ":" not in each["image"].rpartition("/")[2]:
            yield f"{name}: {each['image']} says no version"
        yield from _unmounted(each, spec)


def _unmounted(container: Object, spec: Object) -> Iterator[str]:
    volumes = {volume["name"] for volume in spec.get("volumes", [])}
    for mount in container.get("volumeMounts", []):
        if mount["name"] not in volumes | {"data"}:
            yield f"{container['name']} mounts {mount['name']}, which there is not"
