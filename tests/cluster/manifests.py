"""What is created beside the chart: the namespace, and the tenant's Job. Pure."""

from __future__ import annotations

import copy
from pathlib import Path

import yaml

from tests.chart.helm import Object

CLIENT = "cluster-client"
STOP_FILE = "/tmp/stop"
_SCRIPT = Path(__file__).with_name("client.py")
_DIRECTORY = "/etc/cluster-test"


def namespace(name: str) -> Object:
    """Pods that are not `restricted` are refused in it."""
    labels = {
        f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")
    }
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def pod_of_helm_test(hooks: str) -> Object:
    """Of what `helm get hooks` prints. Raises LookupError: the values have no test."""
    for each in yaml.safe_load_all(hooks):
        if each and each["kind"] == "Pod" and each["metadata"]["name"].endswith("-test"):
            found: Object = each
            return found
    raise LookupError("the release has no pod for helm test: test.enabled must be true")


def client(test_pod: Object, api_key: str, stream_words: int) -> Object:
    """The tenant: a Secret, a ConfigMap and a Job, in a List.

    The pod is that of `helm test` in everything but its program: image, TLS, security, and the
    labels by which network policies let it through.
    """
    pod = copy.deepcopy(test_pod["spec"])
    (container,) = pod["containers"]
    kept = ("SELFTEST_URL", "SELFTEST_MODEL", "SELFTEST_CA_FILE")
    container["name"] = "client"
    container["command"] = ["python", f"{_DIRECTORY}/client.py"]
    container["env"] = [
        *(each for each in container["env"] if each["name"] in kept),
        {
            "name": "SELFTEST_API_KEY",
            "valueFrom": {"secretKeyRef": {"name": CLIENT, "key": "api-key"}},
        },
        {"name": "STREAM_WORDS", "value": str(stream_words)},
        {"name": "STOP_FILE", "value": STOP_FILE},
    ]
    # It needs neither Redis nor the other program.
    volumes = ("tmp", "tls")
    container["volumeMounts"] = [
        *(each for each in container["volumeMounts"] if each["name"] in volumes),
        {"name": "script", "mountPath": _DIRECTORY, "readOnly": True},
    ]
    pod["volumes"] = [
        *(each for each in pod["volumes"] if each["name"] in volumes),
        {"name": "script", "configMap": {"name": CLIENT}},
    ]
    metadata = {"name": CLIENT}
    labels = test_pod["metadata"]["labels"]
    job = {
        "backoffLimit": 0,
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": metadata,
                "stringData": {"api-key": api_key},
            },
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": metadata,
                "data": {"client.py": _SCRIPT.read_text()},
            },
            {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": job},
        ],
    }
