"""Does a rollout go well? Small, to be kept open beside `helm upgrade`."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from charts.monitoring.panels import board, graph, of, total


def rollout() -> Dashboard:
    return board(
        "rollout",
        "Rollout",
        "Does a rollout go well? Keep it open beside `helm upgrade`.",
        {
            "Gateways": [
                graph(
                    "Versions",
                    "How many gateways run which.",
                    "short",
                    {"{{version}}": f"count by (version) ({of('gw_build_info')})"},
                    stacked=True,
                ),
                graph(
                    "Draining",
                    "Gateways that finish what they have.",
                    "short",
                    {
                        "draining": f"sum({of('gw_draining')})",
                        "there": f"count({of('gw_draining')})",
                    },
                ),
                graph(
                    "Responses under way, by gateway",
                    "On those that drain they only get fewer; a pod ends when it is at 0.",
                    "short",
                    {"{{pod}}": f"sum by (pod) ({of('gw_inflight_requests')})"},
                ),
                graph(
                    "Responses on gateways that drain",
                    "What a shorter grace would cut.",
                    "short",
                    {
                        "{{pod}}": f"sum by (pod) ({of('gw_inflight_requests')} and on (pod) {of('gw_draining')} == 1)"
                        f" or sum by (pod) (0 * {of('gw_draining')})"
                    },
                ),
            ],
            "Tenants": [
                graph(
                    "Streams cut",
                    "Must stay 0. drain: a grace is too short; worker: workers went faster than streams could move.",
                    "cps",
                    {"{{by}}": total("gw_streams_cut_total", by="by")},
                ),
                graph(
                    "Requests by outcome",
                    "A rollout that nobody notices changes nothing here.",
                    "reqps",
                    {"{{outcome}}": total("gw_outcomes_total", by="outcome")},
                    stacked=True,
                ),
            ],
            "Workers": [
                graph(
                    "Workers that take requests",
                    "By gateway. A rolling update takes one after the other.",
                    "short",
                    {"{{pod}}": f"sum by (pod) ({of('gw_worker_up')})"},
                ),
                graph(
                    "Takeovers",
                    "Generations that moved to another worker, and nobody noticed.",
                    "cps",
                    {"{{when}}": total("gw_worker_takeovers_total", by="when")},
                ),
                graph(
                    "Restarts",
                    "Processes that began within the hour: more than once is a crash loop.",
                    "short",
                    {"{{pod}}": f"sum by (pod) (changes({of('process_start_time_seconds')}[1h]))"},
                ),
            ],
        },
        since="now-30m",
    )
