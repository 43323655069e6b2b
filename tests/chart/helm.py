"""Render the chart, as Helm does it; without a cluster, for any version of Kubernetes."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]
CHART = Path(__file__).resolve().parents[2] / "charts" / "llm-gateway"
HELM = Path(sys.executable).with_name("helm")
OLDEST_KUBERNETES = "1.30"


class HelmError(Exception):
    """What Helm says on stderr."""


@dataclass(frozen=True)
class Rendered:
    """A release's objects."""

    objects: tuple[Object, ...]

    def of_kind(self, *kinds: str) -> list[Object]:
        return [each for each in self.objects if each["kind"] in kinds]

    def one(self, kind: str, name_ends: str = "") -> Object:
        (found,) = [
            each for each in self.of_kind(kind) if each["metadata"]["name"].endswith(name_ends)
        ]
        return found

    def pods(self) -> dict[str, Object]:
        """Pod templates by kind and name: their metadata and spec."""
        found = {}
        for each in self.objects:
            template = each if each["kind"] == "Pod" else each.get("spec", {}).get("template")
            if template is not None:
                found[f"{each['kind']}/{each['metadata']['name']}"] = template
        return found


def helm(*arguments: str | Path, env: dict[str, str] | None = None) -> str:
    """What Helm prints. Raises HelmError."""
    done = subprocess.run(
        [HELM, *arguments],
        capture_output=True,
        text=True,
        check=False,
        # No cluster that the machine may know of.
        env={**os.environ, "KUBECONFIG": "/dev/null", **(env or {})},
    )
    if done.returncode != 0:
        raise HelmError(done.stderr)
    return done.stdout


def render(
    *values: Path,
    sets: Sequence[str] = (),
    kubernetes: str = OLDEST_KUBERNETES,
    upgrade: bool = False,
    chart: Path = CHART,
    release: str = "gw",
    namespace: str = "inference",
) -> Rendered:
    """Raises HelmError. *sets*: `path=JSON`."""
    return _render(values, tuple(sets), kubernetes, upgrade, chart, release, namespace)


@functools.cache
def _render(
    values: tuple[Path, ...],
    sets: tuple[str, ...],
    kubernetes: str,
    upgrade: bool,
    chart: Path,
    release: str,
    namespace: str,
) -> Rendered:
    files = [part for each in values for part in ("--values", str(each))]
    single = [part for each in sets for part in ("--set-json", each)]
    text = helm(
        *("template", release, chart, "--namespace", namespace, "--kube-version", kubernetes),
        *files,
        *single,
        *(["--is-upgrade"] if upgrade else []),
    )
    return Rendered(tuple(each for each in yaml.safe_load_all(text) if each))
