"""Who uses what, who is refused, whose budget runs out?"""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from charts.monitoring.panels import FULL, board, graph, number, of, rate, rows, total, variable

PROJECT = 'project=~"$project"'
NAMED = 'project!="_other"'


def tenants() -> Dashboard:
    month = of("gw_project_budget_used_ratio", PROJECT, period="month")
    tokens = total("gw_project_tokens_total", PROJECT, type="input|output", by="project")
    return board(
        "tenants",
        "Tenants",
        "Who uses what, who is refused, whose budget runs out? From the usage exporter; the bill is the ledger's.",
        {
            "All": [
                number(
                    "Projects with series of their own",
                    "The busiest ones.",
                    "short",
                    f"count({of('gw_project_info')})",
                    width=6,
                ),
                number(
                    "Projects told together",
                    "As _other. Above 0 for long: raise usageExporter.projects, or live with it.",
                    "short",
                    f"max({of('gw_projects_folded')})",
                    width=6,
                ),
                number(
                    "Tokens a second",
                    "Input and output, of everybody.",
                    "short",
                    f"sum({rate('gw_project_tokens_total', type='input|output')})",
                    width=6,
                ),
                number(
                    "Share of the busiest project",
                    "Of all tokens.",
                    "percentunit",
                    f"max(sum by (project) ({rate('gw_project_tokens_total', type='input|output')}))"
                    f" / sum({rate('gw_project_tokens_total', type='input|output')})",
                    width=6,
                ),
            ],
            "Each project": [
                rows(
                    "The last hour",
                    "name: gw_project_info. Tokens are input and output.",
                    {
                        "tokens": f"sum by (project) (increase({of('gw_project_tokens_total', PROJECT, type='input|output')}[1h]))",
                        "requests": f"sum by (project) (increase({of('gw_project_requests_total', PROJECT)}[1h]))",
                        "refused": f"sum by (project) (increase({of('gw_project_limited_total', PROJECT)}[1h]))",
                        "fullest limit": f"max by (project) ({of('gw_project_quota_ratio', PROJECT)})",
                        "of the month's budget": f"max by (project) ({month})",
                    },
                    by="project",
                    units={"fullest limit": "percentunit", "of the month's budget": "percentunit"},
                ),
                graph(
                    "Tokens a second by project, the ten busiest",
                    "A line that rises alone is a noisy neighbour: its share of the places is kept down by the queue.",
                    "short",
                    {"{{project}}": f"topk(10, {tokens})"},
                    width=FULL,
                    stacked=True,
                ),
                graph(
                    "Requests by status",
                    "Of the projects that are chosen.",
                    "reqps",
                    {"{{status}}": total("gw_project_requests_total", PROJECT, by="status")},
                    stacked=True,
                ),
                graph(
                    "Tokens a second by type",
                    "cached is a part of input, reasoning of output.",
                    "short",
                    {"{{type}}": total("gw_project_tokens_total", PROJECT, by="type")},
                ),
                graph(
                    "Refused by quotas",
                    "By project and limit: the tenant asks for more than it has.",
                    "reqps",
                    {
                        "{{project}} {{limit}}": f"topk(10, {total('gw_project_limited_total', PROJECT, by='project, limit')} > 0)"
                    },
                ),
                graph(
                    "How full its limits are",
                    "From 1 on requests are refused. Of rates: of what a burst of 15 s may be.",
                    "percentunit",
                    {"{{project}} {{limit}}": f"topk(10, {of('gw_project_quota_ratio', PROJECT)})"},
                    limits=((1, "red"),),
                ),
            ],
            "Budgets": [
                graph(
                    "Used of the budget",
                    "Of this day or month (UTC); what is being generated is not counted.",
                    "percentunit",
                    {
                        "{{project}} {{period}}": f"topk(10, {of('gw_project_budget_used_ratio', PROJECT)})"
                    },
                    limits=((0.8, "orange"), (1, "red")),
                ),
                graph(
                    "In seven days, at the pace of the last six hours",
                    "Of the month's budget. Above 1: it ends within a week.",
                    "percentunit",
                    {
                        # A slope of few points is none.
                        "{{project}}": f"topk(10, {month}"
                        f" + 604800 * (deriv({month}[6h]) and count_over_time({month}[6h]) >= 20))"
                    },
                    limits=((1, "red"),),
                ),
                graph(
                    "Movers: tokens a second, beside the hour before",
                    "Who has grown most.",
                    "short",
                    {
                        "{{project}}": f"topk(10, sum by (project) (rate({of('gw_project_tokens_total', PROJECT, NAMED)}[15m]))"
                        f" - (sum by (project) (rate({of('gw_project_tokens_total', PROJECT, NAMED)}[1h] offset 15m))"
                        f" or 0 * sum by (project) (rate({of('gw_project_tokens_total', PROJECT, NAMED)}[15m]))))"
                    },
                    width=FULL,
                    minimum=None,
                ),
            ],
        },
        variables=[
            variable(
                "project",
                "Project",
                'label_values(gw_project_requests_total{namespace=~"$namespace"}, project)',
            )
        ],
    )
