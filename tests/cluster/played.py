"""`kubectl` and `helm` on a PATH that play their part: they note what they are asked, and answer as told."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_PROGRAM = """#!{python}
import json, re, sys, time
from pathlib import Path
directory = Path({directory!r})
asked = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
given = sys.stdin.read() if " - " in asked + " " and "--filename" in asked else None
with (directory / "calls").open("a") as calls:
    calls.write(json.dumps({{"asked": asked, "given": given}}) + "\\n")
plan = json.loads((directory / "plan").read_text())
for rule in plan:
    if re.search(rule["asked"], asked):
        answer = rule["answers"][0]
        # The last one holds for ever.
        if len(rule["answers"]) > 1:
            rule["answers"].pop(0)
            (directory / "plan").write_text(json.dumps(plan))
        sys.stdout.write(answer["out"])
        sys.stderr.write(answer["err"])
        time.sleep(answer["takes_s"])
        sys.exit(answer["code"])
"""


@dataclass(frozen=True)
class Answer:
    out: str = ""
    err: str = ""
    code: int = 0
    takes_s: float = 0


@dataclass
class Played:
    """What is not told is answered with nothing, and success."""

    directory: Path
    rules: dict[str, Sequence[Answer]] = field(default_factory=dict)  # the first that is found

    def __post_init__(self) -> None:
        for name in ("kubectl", "helm"):
            program = self.directory / name
            program.write_text(
                _PROGRAM.format(python=sys.executable, directory=str(self.directory))
            )
            program.chmod(0o755)

    def environment(self, **more: str) -> Mapping[str, str]:
        plan = [
            {"asked": asked, "answers": [vars(each) for each in answers]}
            for asked, answers in self.rules.items()
        ]
        (self.directory / "plan").write_text(json.dumps(plan))
        path = f"{self.directory}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "KUBECONFIG": "/dev/null", **more}

    def calls(self) -> list[dict[str, Any]]:
        noted = self.directory / "calls"
        return (
            [json.loads(line) for line in noted.read_text().splitlines()] if noted.exists() else []
        )

    def asked(self, pattern: str = "") -> list[str]:
        return [each["asked"] for each in self.calls() if re.search(pattern, each["asked"])]

    def given(self, pattern: str) -> Any:
        (found,) = [each["given"] for each in self.calls() if re.search(pattern, each["asked"])]
        return json.loads(found)
