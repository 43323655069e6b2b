"""The checklist for GPU nodes is what `workers.gpu_check` checks."""

from __future__ import annotations

from pathlib import Path

from workers.engines.trtllm.checks import ALL


def test_the_checklist_has_a_line_for_each_check() -> None:
    lines = Path("docs/gpu-checklist.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("| `")]

    assert rows == [
        f"| `{check.name}` | {' '.join(check.believed.split())} | {' '.join(check.if_not.split())} |"
        for check in ALL
    ]
