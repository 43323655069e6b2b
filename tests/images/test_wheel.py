"""What is installed from the wheel is what lies here."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Copied into images beside the packages, or what makes the images.
_NO_PART_OF_A_PACKAGE = re.compile(r"workers/model_repository/|Dockerfile|__pycache__/")


def test_the_wheel_holds_every_file_of_the_packages(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", tmp_path, "."], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("llm_gateway-*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        str(path.relative_to(base))
        for base, package in ((ROOT, "gateway"), (ROOT, "workers"), (ROOT / "proto", "wire"))
        for path in (base / package).rglob("*")
        if path.is_file()
    }
    missing = {path for path in expected - held if not _NO_PART_OF_A_PACKAGE.search(path)}
    assert missing == set()
