"""Write the chart's README from its values: `python -m tests.chart.readme`, or `make chart-docs`.

The comment above a value, begun with `# --`, is its paragraph; a section's has no dashes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from tests.chart.helm import CHART, Object

README = CHART / "README.md"
BAR = "\\|"  # in a cell
_KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z][\w.-]*):(?P<rest>.*)$")

_HEAD = """\
# llm-gateway {version}

{description}.

    helm install gw charts/llm-gateway

is the whole product without GPUs: two gateways, a simulated worker on a real Triton, a Valkey that keeps its data, and a
bootstrap key in a Secret. [docs/kubernetes.md](../../docs/kubernetes.md) goes on from there to the first streamed answer;
[production](../../docs/production.md), [GPUs](../../docs/gpu.md), [upgrading](../../docs/upgrading.md) and
[trouble](../../docs/troubleshooting.md) have pages of their own.

Kubernetes {kubernetes}, Helm 3.14 or newer. No CRDs, no subcharts, no rights in the cluster. `profiles/` holds values to begin
with: `tiny.yaml` for a laptop, `gpu.yaml`, `production.yaml`.

What does not go together is refused when it is rendered, with a sentence that says what to do; what is not listed here is
refused by the schema.

<!-- Made of values.yaml by `make chart-docs`. -->
"""


@dataclass
class Value:
    """A key of values.yaml, and what is said of it."""

    path: tuple[str, ...]
    paragraph: str  # "" if there is none
    is_described: bool  # by `# --`: a value, not a section
    default: Any
    children: list[Value] = field(default_factory=list)

    @property
    def name(self) -> str:
        return ".".join(self.path)


def read_values(text: str) -> list[Value]:
    """The values at the top, each with those below it. The file is indented by two."""
    defaults = yaml.safe_load(text)
    top: list[Value] = []
    open_values: list[Value] = []  # from the top down to the one before
    comment: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# "):
            comment.append(stripped.removeprefix("# "))
            continue
        key = _KEY.match(line)
        if key is None:
            comment = []  # an empty line, or an item of a list
            continue
        depth = len(key["indent"]) // 2
        del open_values[depth:]
        path = (*(each.path[-1] for each in open_values), key["key"])
        described = bool(comment) and comment[0].startswith("-- ")
        paragraph = " ".join(comment).removeprefix("-- ")
        value = Value(path, paragraph, described, _at(defaults, path))
        (open_values[-1].children if open_values else top).append(value)
        open_values.append(value)
        comment = []
    return top


def described(value: Value) -> Iterator[Value]:
    """Those with a paragraph of their own, at or below *value*."""
    if value.is_described:
        yield value
        return
    for each in value.children:
        yield from described(each)


def readme(values: list[Value], chart: Object) -> str:
    head = _HEAD.format(
        version=chart["version"],
        description=chart["description"],
        kubernetes=chart["kubeVersion"].removeprefix(">=").removesuffix("-0") + " or newer",
    )
    plain = [each for each in values if each.is_described]
    parts = [head, "## All objects\n", _table(plain)]
    for section in values:
        if section.is_described:
            continue
        parts.append(f"## {section.path[0]}\n")
        if section.paragraph:
            parts.append(f"{section.paragraph}\n")
        parts.extend(_section(section))
    return "\n".join(parts)


def _section(section: Value) -> Iterator[str]:
    if own := [each for each in section.children if each.is_described]:
        yield _table(own)
    for each in section.children:
        if each.is_described:
            continue
        yield f"### {each.name}\n"
        if each.paragraph:
            yield f"{each.paragraph}\n"
        yield from _section(each)


def _table(values: list[Value]) -> str:
    rows = [(f"`{each.name}`", _default(each), each.paragraph) for each in values]
    lines = [f"| {' | '.join(cell.replace('|', BAR) for cell in row)} |" for row in rows]
    return "\n".join(["| value | default | what it does |", "| --- | --- | --- |", *lines, ""])


def _default(value: Value) -> str:
    text = json.dumps(value.default)
    if text in ('""', "null", "{}", "[]"):
        return "" if text != "null" else "null"
    if isinstance(value.default, dict) and len(text) > 130:
        # Long ones are read better where they stand.
        return "see values.yaml"
    return f"`{text}`"


def _at(defaults: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        defaults = defaults[key]
    return defaults


def written() -> str:
    """What README.md should be."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    return readme(read_values((CHART / "values.yaml").read_text()), chart)


if __name__ == "__main__":
    README.write_text(written())
