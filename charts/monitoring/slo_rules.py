"""What we promise, and when it wakes somebody: multi-window, multi-burn-rate alerts.

A budget is what may fail: with 99.9 % it is one request in a thousand, over thirty days. Burning it
14.4 times too fast for an hour costs 2 % of it; the short window beside the long one ends the alert
soon after its cause. After the SRE workbook's chapter on alerting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Ours: no place, worker, Redis, bug. A tenant's own limit or mistake, or a client that leaves, is not.
BAD = 'outcome=~"overloaded|upstream|store|internal"'
VALID = 'outcome=~"ok|incomplete|overloaded|upstream|store|internal"'
# The chart puts its own namespace here: several installations in one Prometheus each have their
# rules, their promises and their alerts.
HERE = 'namespace=~".+"'
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
BUDGET_PERIOD = "30d"


@dataclass(frozen=True, slots=True)
class Slo:
    """One promise."""

    name: str  # of the rules: gw:slo_<name>:...
    alert: str
    objective: float
    promise: str  # for people
    errors: str  # of a window: how much failed
    requests: str  # ... of how much

    def error_ratio(self, window: str) -> str:
        # No traffic is no error, and no series: an alert on nothing would wake people for nothing.
        errors, requests = (text.replace("WINDOW", window) for text in (self.errors, self.requests))
        return f"({errors}) / ({requests} > 0)"


def _slower(histogram: str, seconds: str) -> tuple[str, str]:
    count = f"sum by (namespace) (rate({histogram}_count{{{HERE}}}[WINDOW]))"
    within = f'sum by (namespace) (rate({histogram}_bucket{{{HERE}, le="{seconds}"}}[WINDOW]))'
    return f"{count} - {within}", count


FIRST_TOKEN_S, PER_TOKEN_S = "2.5", "0.05"

SLOS = (
    Slo(
        "availability",
        "GatewayAvailabilityBudgetBurns",
        0.999,
        "requests are answered",
        f"sum by (namespace) (rate(gw_outcomes_total{{{HERE}, {BAD}}}[WINDOW]))",
        f"sum by (namespace) (rate(gw_outcomes_total{{{HERE}, {VALID}}}[WINDOW]))",
    ),
    Slo(
        "first_token",
        "GatewayFirstTokenBudgetBurns",
        0.99,
        f"first tokens come within {FIRST_TOKEN_S} s",
        *_slower("gen_ai_server_time_to_first_token_seconds", FIRST_TOKEN_S),
    ),
    Slo(
        "token_pace",
        "GatewayTokenPaceBudgetBurns",
        0.99,
        "answers come at 20 tokens a second or more",
        *_slower("gen_ai_server_time_per_output_token_seconds", PER_TOKEN_S),
    ),
)


@dataclass(frozen=True, slots=True)
class Burn:
    """So many times too fast, in both windows."""

    factor: float
    short: str
    long: str
    severity: str
    held: str


BURNS = (
    Burn(14.4, "5m", "1h", "page", "2m"),
    Burn(6, "30m", "6h", "page", "5m"),
    Burn(3, "2h", "1d", "ticket", "15m"),
    Burn(1, "6h", "3d", "ticket", "1h"),
)


def slo_rules() -> Mapping[str, object]:
    """The content of slo.yaml."""
    return {
        "groups": [
            {
                "name": f"llm-gateway-slo-{slo.name.replace('_', '-')}",
                # In one group, and in this order: groups are evaluated in any.
                "rules": [
                    *_recordings(slo),
                    _objective(slo),
                    *(_alert(slo, burn) for burn in BURNS),
                ],
            }
            for slo in SLOS
        ]
    }


def _objective(slo: Slo) -> Mapping[str, object]:
    # Of each namespace, with the chart's own figure.
    return {
        "record": "gw:slo_objective",
        "labels": {"slo": slo.name},
        "expr": f"0 * gw:slo_{slo.name}:error_ratio_rate{WINDOWS[-1]}{{{HERE}}} + {slo.objective}",
    }


def _recordings(slo: Slo) -> list[Mapping[str, object]]:
    name = f"gw:slo_{slo.name}:error_ratio_rate"
    rules: list[Mapping[str, object]] = [
        {"record": f"{name}{window}", "expr": slo.error_ratio(window)} for window in WINDOWS
    ]
    # Of ratios of five minutes, each counts alike: a query over 30 days of raw series is too much.
    rules.append(
        {
            "record": f"gw:slo_{slo.name}:error_ratio_{BUDGET_PERIOD}",
            "expr": f"avg_over_time({name}5m{{{HERE}}}[{BUDGET_PERIOD}])",
        }
    )
    return rules


def _alert(slo: Slo, burn: Burn) -> Mapping[str, object]:
    name = f"gw:slo_{slo.name}:error_ratio_rate"
    limit = f'{burn.factor} * (1 - gw:slo_objective{{slo="{slo.name}"}})'
    return {
        "alert": slo.alert,
        "expr": f"{name}{burn.short}{{{HERE}}} > on (namespace) {limit}"
        f" and {name}{burn.long}{{{HERE}}} > on (namespace) {limit}",
        "for": burn.held,
        "labels": {"severity": burn.severity, "window": burn.long},
        "annotations": {
            "summary": f"The promise that {slo.promise} is broken {burn.factor:g} times as often as its budget allows",
            "description": f"In the last {burn.long} {{{{ $value | humanizePercentage }}}} failed in {{{{ $labels.namespace }}}}.",
            "runbook_url": f"docs/runbooks/{slo.alert}.md",
        },
    }
