"""Runs the scripts of clients/ and node/ against the product, each once.

A script is a process of its own, in the environment that its client is installed
in, and tells what happened as a JSON line a scenario.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.stack.demo import Tenant
from tests.stack.product import Product

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NODE_MODULES = HERE / "node" / "node_modules"
OLDEST_NODE = 20
# All scenarios of one client. The slowest takes 6 s on two busy cores, most of it imports.
SCRIPT_TIMEOUT_S = 50


def node() -> str:
    """The path of `node`; skips the test where it is missing, or too old."""
    path = shutil.which("node")
    if path is None:
        pytest.skip(f"There is no node here: install Node {OLDEST_NODE} or newer to test with it")
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True)
    if int(version.stdout.removeprefix("v").partition(".")[0]) < OLDEST_NODE:
        pytest.skip(f"Node {OLDEST_NODE} or newer is needed, here is {version.stdout.strip()}")
    _skip_unless_installed(NODE_MODULES)
    return path


def client_environment(home: Path, url: str, key: str) -> dict[str, str]:
    """All that a client gets to see: nothing of ours but an address and a key."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "GATEWAY_URL": url,
        "GATEWAY_API_KEY": key,
        # Else it fetches a price list when it is imported.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }


@dataclass
class Clients:
    """What each client's scenarios told; a script runs when it is first asked for."""

    product: Product
    tenant: Tenant
    home: Path
    _told: dict[str, Mapping[str, dict[str, Any]]] = field(default_factory=dict)

    def facts(self, script: str, scenario: str) -> Any:
        """Of `environment/name.py` or `node/name.mjs`. Fails if the scenario raised."""
        if script not in self._told:
            self._told[script] = self._run(script)
        line = self._told[script][scenario]
        assert "facts" in line, line["raised"]
        return line["facts"]

    def _run(self, script: str) -> Mapping[str, dict[str, Any]]:
        environment, name = script.split("/")
        if environment == "node":
            command = [node(), str(HERE / "node" / name)]
        else:
            _skip_unless_installed(ROOT / environment)
            python = str(ROOT / environment / "bin" / "python")
            command = [python, "-W", "ignore", str(HERE / "clients" / name)]
        done = subprocess.run(
            command,
            env=client_environment(self.home, self.product.url, self.tenant.key),
            capture_output=True,
            text=True,
            check=False,
            timeout=SCRIPT_TIMEOUT_S,
        )
        assert done.returncode == 0, done.stderr
        # Clients print, too.
        lines = [line for line in done.stdout.splitlines() if line.startswith('{"scenario"')]
        return {told["scenario"]: told for told in map(json.loads, lines)}


@pytest.fixture(scope="session")
def clients(product: Product, tmp_path_factory: pytest.TempPathFactory) -> Clients:
    return Clients(product, product.new_project(), tmp_path_factory.mktemp("home"))


def _skip_unless_installed(directory: Path) -> None:
    if not (directory / "installed").exists():
        pytest.skip(f"{directory.relative_to(ROOT)} is not there: `make clients` installs it")
