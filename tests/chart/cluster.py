"""A Kubernetes API played as far as Helm looks: what kinds there are, and some objects.

Enough for `lookup`, which `helm template` knows nothing of without a cluster, and for NOTES.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.chart.helm import CHART, Object, Rendered, helm

# By group and version: kind and plural.
KINDS: dict[str, dict[str, str]] = {
    "v1": {
        "ConfigMap": "configmaps",
        "Namespace": "namespaces",
        "PersistentVolumeClaim": "persistentvolumeclaims",
        "Pod": "pods",
        "Secret": "secrets",
        "Service": "services",
        "ServiceAccount": "serviceaccounts",
    },
    "apps/v1": {"Deployment": "deployments", "StatefulSet": "statefulsets"},
    "batch/v1": {"Job": "jobs"},
    "networking.k8s.io/v1": {"Ingress": "ingresses", "NetworkPolicy": "networkpolicies"},
    "policy/v1": {"PodDisruptionBudget": "poddisruptionbudgets"},
    "autoscaling/v2": {"HorizontalPodAutoscaler": "horizontalpodautoscalers"},
    "gateway.networking.k8s.io/v1": {"HTTPRoute": "httproutes"},
    "monitoring.coreos.com/v1": {"PodMonitor": "podmonitors", "PrometheusRule": "prometheusrules"},
}


@dataclass(frozen=True)
class Cluster:
    """Where Helm finds it."""

    env: dict[str, str]
    objects: list[Object]

    def render(self, *sets: str, upgrade: bool = False) -> Rendered:
        """As helm.render, with a Helm that can look into the cluster. Raises HelmError."""
        text = helm(
            *("template", "gw", CHART, "--namespace", "inference", "--dry-run=server"),
            *(part for each in sets for part in ("--set-json", each)),
            *(["--is-upgrade"] if upgrade else []),
            env=self.env,
        )
        return Rendered(tuple(each for each in yaml.safe_load_all(text) if each))

    def notes(self, *sets: str) -> str:
        """What `helm install` would say."""
        said = helm(
            *("install", "gw", CHART, "--namespace", "inference", "--dry-run=server"),
            # The schemas of all kinds are more than is played here.
            "--disable-openapi-validation",
            *(part for each in sets for part in ("--set-json", each)),
            env=self.env,
        )
        return said.partition("NOTES:\n")[2]


@contextmanager
def cluster(directory: Path, objects: Sequence[Object] = ()) -> Iterator[Cluster]:
    """One that holds *objects*, each with its namespace. It takes no writes."""
    there = list(objects)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(there))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        kubeconfig = directory / "kubeconfig"
        kubeconfig.write_text(_kubeconfig(server.server_address[1]))
        yield Cluster(
            {"KUBECONFIG": str(kubeconfig), "HELM_CACHE_HOME": str(directory / "helm")}, there
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _kubeconfig(port: int) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "played",
            "contexts": [{"name": "played", "context": {"cluster": "played", "user": "nobody"}}],
            "clusters": [{"name": "played", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "nobody", "user": {}}],
        }
    )


def _handler(objects: list[Object]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0].strip("/").split("/")
            answer = _discovery(path) or _object(path, objects)
            body = json.dumps(answer or _NOT_FOUND).encode()
            self.send_response(200 if answer else 404)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


_NOT_FOUND = {
    "kind": "Status",
    "apiVersion": "v1",
    "status": "Failure",
    "reason": "NotFound",
    "code": 404,
}


def _discovery(path: list[str]) -> Any:
    match path:
        case ["version"]:
            return {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"]}
        case ["apis"]:
            groups = [each.split("/") for each in KINDS if "/" in each]
            return {
                "kind": "APIGroupList",
                "apiVersion": "v1",
                "groups": [
                    {
                        "name": name,
                        "versions": [{"groupVersion": f"{name}/{version}", "version": version}],
                        "preferredVersion": {
                            "groupVersion": f"{name}/{version}",
                            "version": version,
                        },
                    }
                    for name, version in groups
                ],
            }
        case ["api" | "apis", *group] if "/".join(group) in KINDS:
            name = "/".join(group)
            return {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": name,
                "resources": [
                    {
                        "name": plural,
                        "singularName": "",
                        "namespaced": kind != "Namespace",
                        "kind": kind,
                        "verbs": ["get", "list"],
                    }
                    for kind, plural in KINDS[name].items()
                ],
            }
    return None


def _object(path: list[str], objects: list[Object]) -> Any:
    match path:
        case ["api" | "apis", *group, "namespaces", namespace, plural]:
            return {"kind": "List", "apiVersion": "/".join(group), "metadata": {}, "items": []}
        case ["api" | "apis", *group, "namespaces", namespace, plural, name]:
            for each in objects:
                metadata = each["metadata"]
                if (
                    each["apiVersion"] == "/".join(group)
                    and KINDS["/".join(group)][each["kind"]] == plural
                    and (metadata["namespace"], metadata["name"]) == (namespace, name)
                ):
                    return each
    return None
