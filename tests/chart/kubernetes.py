"""Are these objects what a Kubernetes of that version takes? Its own schemas, strictly.

Objects of custom kinds are held against `crds/`: what we send of them, written by us.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from jsonschema.validators import Draft7Validator, Draft202012Validator
from kubernetes_validate import utils
from referencing import Registry, Resource

from tests.chart.helm import OLDEST_KUBERNETES, Object

CRDS = Path(__file__).with_name("crds")


def versions() -> list[str]:
    """From the oldest that the chart takes to the newest whose schemas are known."""
    known = [utils.major_minor(each) for each in utils.all_versions()]
    return known[known.index(OLDEST_KUBERNETES) :]


def complaints(found: Object, version: str) -> list[str]:
    """What that version would refuse of the object."""
    return [
        f"{found['kind']}/{found['metadata']['name']}: {error.json_path}: {error.message}"
        for error in _validator(found["apiVersion"], found["kind"], version).iter_errors(found)
    ]


@functools.cache
def _validator(api_version: str, kind: str, version: str) -> Any:
    group = api_version.rpartition("/")[0]
    if "." in group and not group.endswith(".k8s.io") or group == "gateway.networking.k8s.io":
        return Draft7Validator(json.loads((CRDS / f"{kind}.json").read_text()))
    short = f"{group.split('.')[0]}-{api_version.rpartition('/')[2]}" if group else api_version
    directory = f"kubernetes-json-schema/v{version}.0-local-strict"
    schema = utils.schema_contents(f"{directory}/{kind.lower()}-{short}.json", version)
    return Draft202012Validator(schema, registry=_definitions(directory, version) @ _own(schema))


def _own(schema: Any) -> Registry[Any]:
    return Resource.from_contents(schema) @ Registry()


@functools.lru_cache(maxsize=2)
def _definitions(directory: str, version: str) -> Resource[Any]:
    return Resource.from_contents(utils.schema_contents(f"{directory}/_definitions.json", version))
