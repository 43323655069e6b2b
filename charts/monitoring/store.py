"""Does Redis answer, and is everything billed?"""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from charts.monitoring.panels import (
    QUARTER,
    THIRD,
    board,
    graph,
    number,
    of,
    quantile,
    rate,
    total,
)


def store() -> Dashboard:
    return board(
        "store",
        "Store and billing",
        "Does Redis answer, and is everything billed? Bills are the ledger's; this is to be watched.",
        {
            "Now": [
                number(
                    "Redis",
                    "0: answers; 1: answers again, and is watched; 2: nobody asks it (the worst of all gateways).",
                    "short",
                    f"max({of('gw_store_mode')})",
                    limits=((1, "orange"), (2, "red")),
                ),
                number(
                    "Settlements that wait",
                    "Not in Redis yet.",
                    "short",
                    f"sum({of('gw_settlements_pending')})",
                    limits=((100, "orange"), (10_000, "red")),
                ),
                number(
                    "The oldest waits for",
                    "Above a minute: Redis is away, or refuses writes.",
                    "s",
                    f"max({of('gw_settlement_oldest_seconds')})",
                    limits=((60, "orange"), (300, "red")),
                ),
                number(
                    "Settlements given up",
                    "Responses that nobody is billed for, since the gateways began: each is in the log, whole.",
                    "short",
                    f"sum({of('gw_settlements_lost_total')})",
                    limits=((1, "red"),),
                ),
                number(
                    "Keys that Redis evicted",
                    "Each may be a charge that is forgotten. Must be 0: set maxmemory-policy noeviction.",
                    "short",
                    f"max({of('gw_redis_evicted_keys_total')})",
                    limits=((1, "red"),),
                ),
                number(
                    "Figures by project are from",
                    "How long ago the usage exporter last read Redis.",
                    "s",
                    f"time() - max({of('gw_usage_exporter_last_look_timestamp_seconds')})",
                    limits=((120, "orange"), (300, "red")),
                ),
            ],
            "Does Redis answer?": [
                graph(
                    "Round trips, p50",
                    "reserve and settle are part of a request; renew and reap are not.",
                    "s",
                    {"{{op}}": quantile(0.5, "gw_store_op_seconds", by="op")},
                ),
                graph(
                    "Round trips, p99",
                    "From 0.05 s on requests are slowed; from 0.1 s on they are admitted without Redis.",
                    "s",
                    {"{{op}}": quantile(0.99, "gw_store_op_seconds", by="op")},
                    limits=((0.05, "red"),),
                ),
                graph(
                    "Not answered",
                    "Calls that ended without an answer, or were cancelled.",
                    "cps",
                    {
                        "{{op}}": f"sum by (op) ({rate('gw_store_op_seconds_count', result='unavailable')}) or sum by (op) (0 * {rate('gw_store_op_seconds_count')})"
                    },
                ),
                graph(
                    "Mode, by gateway",
                    "0: Redis answers; 2: nobody asks it.",
                    "short",
                    {"{{pod}}": f"max by (pod) ({of('gw_store_mode')})"},
                    maximum=2,
                ),
                graph(
                    "Admitted without Redis",
                    "By what may be exceeded meanwhile.",
                    "reqps",
                    {
                        "{{concern}}": f"sum by (concern) ({rate('gw_degraded_admits_total')})",
                        "all": f"sum({rate('gw_degraded_admits_total')}) or vector(0)",
                    },
                    width=THIRD,
                ),
                graph(
                    "Memory of Redis",
                    "It must not reach its limit: then Redis takes nothing, and gateways go on without it for 15 minutes.",
                    "bytes",
                    {
                        "used": f"max({of('gw_redis_memory_used_bytes')})",
                        "limit": f"max({of('gw_redis_memory_max_bytes')})",
                    },
                    width=THIRD,
                ),
                graph(
                    "Replicas of Redis",
                    "Connected to the primary that has fewest.",
                    "short",
                    {"replicas": f"min({of('gw_redis_connected_replicas')})"},
                    width=THIRD,
                ),
            ],
            "Is everything billed?": [
                graph(
                    "Settlements",
                    "What Redis answered; all of them are charged. lost: it knew no lease, as of what was admitted without Redis. adjusted: another gateway had charged a part. duplicate: said again.",
                    "cps",
                    {"{{verdict}}": total("gw_settle_verdicts_total", by="verdict")},
                ),
                graph(
                    "Waiting settlements",
                    "Kept in memory, and on disk beyond 2 s.",
                    "short",
                    {
                        "wait": f"sum({of('gw_settlements_pending')})",
                        "may still be lost by Redis": f"sum({of('gw_settlements_undurable')})",
                    },
                ),
                graph(
                    "Spool",
                    "Settlements on disk. When it is full, requests are refused.",
                    "bytes",
                    {"{{pod}}": f"sum by (pod) ({of('gw_spool_bytes')})"},
                    width=QUARTER,
                ),
                graph(
                    "Leases renewed",
                    "failed: Redis did not answer; unknown: they had ended before.",
                    "cps",
                    {"{{result}}": total("gw_leases_renewed_total", by="result")},
                    width=QUARTER,
                ),
                graph(
                    "Leases reaped",
                    "Requests of gateways that were killed, charged by others.",
                    "cps",
                    {"reaped": total("gw_leases_reaped_total")},
                    width=QUARTER,
                ),
                graph(
                    "In quarantine or lost",
                    "Both want somebody to look.",
                    "short",
                    {
                        "in quarantine": f"sum({of('gw_settlements_quarantined_total')})",
                        "lost": f"sum({of('gw_settlements_lost_total')})",
                    },
                    width=QUARTER,
                ),
            ],
        },
    )
