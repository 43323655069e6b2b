"""kubectl and helm, in one namespace of the cluster that KUBECONFIG names."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Of what Helm waits for: images are fetched, pods get ready.
HELM_TIMEOUT_S = 900
_KUBECTL_TIMEOUT_S = 120


class ToolError(Exception):
    """What kubectl or helm said when it failed."""


class ToolMissing(Exception):
    """One sentence."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Raises ToolError, whatever is asked."""

    namespace: str
    kubectl_program: str
    helm_program: str

    def kubectl(
        self, *arguments: str, given: object = None, timeout_s: float = _KUBECTL_TIMEOUT_S
    ) -> str:
        """*given*: an object for its stdin."""
        command = [self.kubectl_program, "--namespace", self.namespace, *arguments]
        return _run(command, None if given is None else json.dumps(given), timeout_s)

    def get(self, *arguments: str) -> Any:
        return self.json("get", *arguments, "--output", "json")

    def json(self, *arguments: str) -> Any:
        """What kubectl, or a program in a pod, says as JSON."""
        said = self.kubectl(*arguments)
        try:
            return json.loads(said)
        except ValueError as exc:
            raise ToolError(f"kubectl {' '.join(arguments)}\nsaid no JSON:\n{said}") from exc

    def names(self, kinds: str, selector: str) -> set[str]:
        """`kind/name` of each."""
        return set(self.kubectl("get", kinds, "--selector", selector, "--output", "name").split())

    def helm(self, *arguments: str | Path) -> str:
        command = [self.helm_program, *map(str, arguments), "--namespace", self.namespace]
        return _run(command, None, HELM_TIMEOUT_S + 60)


def find_cluster(namespace: str) -> Cluster:
    """With the programs on the PATH, or the Helm of `.venv`. Raises ToolMissing."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise ToolMissing("There is no kubectl on the PATH.")
    helm = shutil.which("helm") or str(Path(sys.executable).with_name("helm"))
    return Cluster(namespace, kubectl, helm)


def _run(command: Sequence[str], given: str | None, timeout_s: float) -> str:
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, check=False, timeout=timeout_s
        )
    except subprocess.TimeoutExpired as exc:
        raise ToolError(f"{_shown(command)}\nhad not ended after {timeout_s:.0f} s") from exc
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()
        raise ToolError(f"{_shown(command)}\nended with {done.returncode}:\n{said}")
    return done.stdout


def _shown(command: Sequence[str]) -> str:
    return " ".join([Path(command[0]).name, *command[1:]])
