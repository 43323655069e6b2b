"""The values that the chart is tried with: one file a feature, and the profiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chart.helm import CHART

# Profiles are made to be laid over each other.
EXAMPLES: list[tuple[Path, ...]] = [
    *((each,) for each in sorted(CHART.glob("ci/*-values.yaml"))),
    *((each,) for each in sorted(CHART.glob("profiles/*.yaml"))),
    (CHART / "profiles" / "gpu.yaml", CHART / "profiles" / "production.yaml"),
]
each_example = pytest.mark.parametrize(
    "values", EXAMPLES, ids=lambda values: "+".join(each.stem for each in values)
)
