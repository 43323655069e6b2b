"""What is written down of an image is what is pinned, and the same each time."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
_PINNED = re.compile(
    r"^(?P<name>[\w.-]+)==(?P<version>[\w.+!-]+)(?P<rest>(?:.*\\\n)*.*)$", re.MULTILINE
)

pytestmark = pytest.mark.skipif(
    not (ROOT / ".venv-images/bin/cyclonedx-py").exists(),
    reason="what writes it is not installed: make .venv-images/installed",
)


@pytest.mark.parametrize("names", [("gateway",), ("worker", "triton")], ids="+".join)
def test_an_sbom_lists_every_pinned_package_with_its_hashes(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    found = json.loads(_written(tmp_path / "sbom.json", *names))
    pinned = {}
    for name in names:
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        for each in _PINNED.finditer(text):
            hashes = set(re.findall(r"sha256:([0-9a-f]{64})", each["rest"]))
            assert hashes, each["name"]
            pinned[each["name"], each["version"]] = hashes
        assert len(pinned) >= len(re.findall(r"^\w", text, re.MULTILINE)), "each entry was read"
    listed = {
        (each["name"], each["version"]): _hashes(each)
        for each in found["components"]
        if each["purl"] == f"pkg:pypi/{each['name']}@{each['version']}"
    }
    assert listed == pinned
    assert found["bomFormat"] == "CycloneDX"
    described = found["metadata"]["component"]
    assert (described["name"], described["type"]) == ("llm-gateway", "application")


def test_an_sbom_is_the_same_each_time_and_says_nothing_of_this_machine(tmp_path: Path) -> None:
    first = _written(tmp_path / "first.json", "gateway")
    assert _written(tmp_path / "second.json", "gateway") == first
    assert b'"timestamp": "2023-11-14T22:13:20+00:00"' in first
    assert str(ROOT).encode() not in first
    assert str(tmp_path).encode() not in first


def _written(path: Path, *names: str) -> bytes:
    subprocess.run(
        [ROOT / "tests/images/sbom.sh", path, *(f"requirements/{name}.txt" for name in names)],
        env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"},
        check=True,
    )
    return path.read_bytes()


def _hashes(component: dict[str, Any]) -> set[str]:
    (distribution,) = component["externalReferences"]
    return {each["content"] for each in distribution["hashes"]}
