"""Write the dashboards and the SLO rules into the chart: `make monitoring`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from charts.monitoring.fleet import fleet
from charts.monitoring.rollout import rollout
from charts.monitoring.slo import slo
from charts.monitoring.slo_rules import slo_rules
from charts.monitoring.store import store
from charts.monitoring.tenants import tenants
from charts.monitoring.workers import workers

CHART = Path(__file__).parents[1] / "llm-gateway"
BOARDS = {
    "fleet": fleet,
    "workers": workers,
    "store": store,
    "tenants": tenants,
    "slo": slo,
    "rollout": rollout,
}


def files() -> Mapping[Path, str]:
    """All that is generated, by path."""
    encode = JSONEncoder(sort_keys=True, indent=1).encode
    boards = {
        CHART / "dashboards" / f"{name}.json": encode(make()) + "\n"
        for name, make in BOARDS.items()
    }
    rules = "# Written by `make monitoring` (charts/monitoring/slo_rules.py).\n" + yaml.safe_dump(
        slo_rules(), sort_keys=False, width=1000
    )
    return {**boards, CHART / "rules" / "slo.yaml": rules}


def main() -> None:
    for path, content in files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)


if __name__ == "__main__":
    main()
