"""The first board to open: are tenants served, how fast, and where does the time go?"""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from charts.monitoring.panels import (
    FULL,
    HALF,
    THIRD,
    board,
    graph,
    number,
    of,
    quantile,
    quantiles,
    rate,
    total,
)
from charts.monitoring.slo_rules import BAD, VALID

FIRST_TOKEN = "gen_ai_server_time_to_first_token_seconds"
PER_TOKEN = "gen_ai_server_time_per_output_token_seconds"
DURATION = "gen_ai_server_request_duration_seconds"


def fleet() -> Dashboard:
    return board(
        "fleet",
        "Fleet",
        "Are tenants served, how fast, and where does the time go? Begin here.",
        {
            "Now": [
                number(
                    "Requests",
                    "Responses and chat completions that ended, in a second.",
                    "reqps",
                    total("gw_outcomes_total"),
                ),
                number(
                    "Failed by us",
                    "Share of the requests that failed by our own doing: no room, worker, Redis, bug. Refusals by"
                    " a tenant's own limits, its mistakes and clients that left are not in it.",
                    "percentunit",
                    f"(sum({rate('gw_outcomes_total', BAD)}) or vector(0)) / sum({rate('gw_outcomes_total', VALID)})",
                    limits=((0.001, "orange"), (0.01, "red")),
                    decimals=2,
                ),
                number(
                    "First token, p95",
                    "From a request's arrival to its first token.",
                    "s",
                    quantile(0.95, FIRST_TOKEN),
                    limits=((1, "orange"), (2.5, "red")),
                ),
                number(
                    "Output tokens a second",
                    "Generated for tenants.",
                    "short",
                    total("gw_tokens_total", type="output"),
                ),
                number(
                    "Workers that take requests",
                    "As the gateway sees it that sees fewest.",
                    "short",
                    f"min(sum by (pod) ({of('gw_worker_up')}))",
                    limits=(),
                ),
                number(
                    "Gateways",
                    "That are there; those that drain included.",
                    "short",
                    f"count({of('gw_build_info')})",
                ),
            ],
            "Are tenants served?": [
                graph(
                    "Requests by outcome",
                    "ok and incomplete are answers; limited is a tenant's own quota; overloaded, upstream, store and"
                    " internal are ours: look at Workers, Store or the log.",
                    "reqps",
                    {"{{outcome}}": total("gw_outcomes_total", by="outcome")},
                    stacked=True,
                ),
                graph(
                    "Refused or failed, by the error's code",
                    "What clients were told (docs/errors.md).",
                    "reqps",
                    {"{{reason}}": total("gw_rejections_total", by="reason")},
                    stacked=True,
                ),
                graph(
                    "Streams cut",
                    "Streams that had begun and ended with an error: worker (none could go on), drain (a gateway's"
                    " grace was over), timeout. 0 is usual.",
                    "reqps",
                    {"{{by}}": total("gw_streams_cut_total", by="by")},
                ),
                graph(
                    "HTTP answers by code",
                    "Every route. 499 is a client that left.",
                    "reqps",
                    {"{{code}}": total("gw_http_requests_total", by="code")},
                    stacked=True,
                ),
            ],
            "How fast?": [
                graph(
                    "Time to first token",
                    "From a request's arrival. Diamonds are traces.",
                    "s",
                    quantiles(FIRST_TOKEN),
                    exemplars=True,
                    limits=((2.5, "red"),),
                ),
                graph(
                    "Time per token",
                    "Between the tokens of one answer, after its first: mean of each answer.",
                    "s",
                    quantiles(PER_TOKEN),
                    exemplars=True,
                    limits=((0.05, "red"),),
                ),
                graph(
                    "Longest gap of an answer",
                    "What somebody who reads along feels. High while time per token is low: takeovers, or a loop that"
                    " is held up.",
                    "s",
                    quantiles("gw_stream_longest_gap_seconds"),
                    exemplars=True,
                ),
                graph(
                    "Duration of requests",
                    "To the last byte.",
                    "s",
                    quantiles(DURATION),
                    exemplars=True,
                ),
                graph(
                    "Where the time goes beside generating: stations, p95",
                    "queue: workers are busy; reserve and settle: Redis; render and validate: large requests; receive:"
                    " slow clients; authenticate: Redis, or an identity provider.",
                    "s",
                    {
                        "{{station}}": quantile(
                            0.95, "gw_station_seconds", 'station!="generate"', by="station"
                        )
                    },
                    width=FULL,
                ),
            ],
            "How much?": [
                graph(
                    "Tokens a second",
                    "Of ended responses. cached is a part of input, reasoning of output.",
                    "short",
                    {"{{type}}": total("gw_tokens_total", by="type")},
                ),
                graph(
                    "Places",
                    "In use: requests that hold one of the places that all workers have. When they meet, requests wait. In use may be"
                    " more for moments: gateways give the last places at the same time, and one is held until its answer is sent.",
                    "short",
                    {
                        "in use": f"sum({of('gw_slots_in_use')})",
                        "places": f"max({of('gw_slots')})",
                    },
                ),
                graph(
                    "Waiting for a place",
                    "Above 0 for long: the workers have too much to do.",
                    "short",
                    {"{{tier}}": f"sum by (tier) ({of('gw_queued_requests')})"},
                ),
                graph(
                    "Wait for a place, p95",
                    "Of those that got one, by service tier.",
                    "s",
                    {"{{tier}}": quantile(0.95, "gw_queue_wait_seconds", by="tier")},
                    limits=((5, "red"),),
                ),
                graph(
                    "Tokens of a request, p50 and p95",
                    "A shift here explains most others.",
                    "short",
                    {
                        "input p50": quantile(0.5, "gw_request_tokens", type="input"),
                        "input p95": quantile(0.95, "gw_request_tokens", type="input"),
                        "output p50": quantile(0.5, "gw_request_tokens", type="output"),
                        "output p95": quantile(0.95, "gw_request_tokens", type="output"),
                    },
                    width=HALF,
                ),
                graph(
                    "Turned away because workers are busy",
                    "project_full: too many of that project wait already; timeout: waited for too long.",
                    "reqps",
                    {"{{reason}}": total("gw_queue_refusals_total", by="reason")},
                ),
            ],
            "The gateways themselves": [
                graph(
                    "CPU",
                    "Of one core: a gateway is one process. From 0.8 on, add gateways.",
                    "percentunit",
                    {"{{pod}}": f"sum by (pod) ({rate('process_cpu_seconds_total')})"},
                    width=THIRD,
                    limits=((0.8, "red"),),
                ),
                graph(
                    "Memory",
                    "Resident.",
                    "bytes",
                    {"{{pod}}": f"sum by (pod) ({of('process_resident_memory_bytes')})"},
                    width=THIRD,
                ),
                graph(
                    "Lateness of the event loop, p99",
                    "Whatever holds it up holds up every stream of that gateway.",
                    "s",
                    {"{{pod}}": quantile(0.99, "gw_loop_lag_seconds", by="pod")},
                    width=THIRD,
                    limits=((0.1, "red"),),
                ),
            ],
        },
    )
