"""Are the promises kept, and what breaks them?"""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from charts.monitoring.panels import HALF, Panel, board, graph, number, of, total
from charts.monitoring.slo_rules import BAD, BUDGET_PERIOD, BURNS, SLOS, WINDOWS, Slo


def slo() -> Dashboard:
    content: dict[str, list[Panel]] = {
        "Left of the budgets, 30 days": [
            number(
                f"{each.promise[0].upper()}{each.promise[1:]}",
                "What is left of what may fail in 30 days. Below 0 the promise is broken.",
                "percentunit",
                f"min(1 - {of(f'gw:slo_{each.name}:error_ratio_{BUDGET_PERIOD}')}"
                f" / on (namespace) {_may_fail(each)})",
                width=8,
                # Colours the other way round: little is bad.
                limits=(),
            )
            for each in SLOS
        ]
    }
    for each in SLOS:
        content[each.promise[0].upper() + each.promise[1:]] = [_burning(each), _failing(each)]
    content["What breaks them"] = [
        graph(
            "Failures of ours, by outcome",
            "overloaded: no place in time; upstream: workers; store: Redis; internal: a bug.",
            "reqps",
            {"{{outcome}}": total("gw_outcomes_total", BAD, by="outcome")},
            width=HALF,
            stacked=True,
        ),
        graph(
            "By the error's code",
            "What clients were told, of all requests; those of tenants' own doing as well.",
            "reqps",
            {"{{reason}}": total("gw_rejections_total", by="reason")},
            width=HALF,
            stacked=True,
        ),
    ]
    return board(
        "slo", "SLO", "Are the promises kept, and what breaks them?", content, since="now-6h"
    )


def _may_fail(each: Slo) -> str:
    return f"(1 - {of('gw:slo_objective', slo=each.name)})"


def _burning(each: Slo) -> Panel:
    budget = _may_fail(each)
    return graph(
        "How fast the budget burns",
        "1: it is used up in 30 days. An alert fires when both of its windows are above its line.",
        "short",
        {
            f"last {window}": f"max({of(f'gw:slo_{each.name}:error_ratio_rate{window}')} / on (namespace) {budget})"
            for window in WINDOWS
            if window in {"5m", "1h", "6h", "1d"}
        },
        limits=[
            (burn.factor, "red" if burn.severity == "page" else "orange")
            for burn in reversed(BURNS)
        ],
    )


def _failing(each: Slo) -> Panel:
    return graph(
        "Share that fails",
        "Beside what may.",
        "percentunit",
        {
            "fails": f"max({of(f'gw:slo_{each.name}:error_ratio_rate5m')})",
            "may fail": f"min({_may_fail(each)})",
        },
    )
