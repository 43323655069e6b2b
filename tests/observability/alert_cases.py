"""For each alert: what makes it fire, and what is near to it and does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# In promtool's notation: `start+step x times`.
Series = Mapping[str, str]

NS = 'namespace="inference"'
POD = f'{NS}, pod="gw-1"'


@dataclass(frozen=True, slots=True)
class Case:
    alert: str
    fires: Series
    silent: Series
    at: str = "60m"
    interval: str = "1m"
    severity: str = ""  # of alerts that have several


def _outcomes(bad_per_thousand: float, rounds: int) -> Series:
    """A thousand valid requests a round."""
    return {
        f'gw_outcomes_total{{{POD}, outcome="ok"}}': f"0+{1000 - bad_per_thousand}x{rounds}",
        f'gw_outcomes_total{{{POD}, outcome="upstream"}}': f"0+{bad_per_thousand}x{rounds}",
        # A tenant's own limit is no failure of ours, however often it is met.
        f'gw_outcomes_total{{{POD}, outcome="limited"}}': f"0+5000x{rounds}",
    }


def _histogram(
    name: str, le: str, within_per_thousand: int, rounds: int, labels: str = POD
) -> Series:
    return {
        f'{name}_bucket{{{labels}, le="{le}"}}': f"0+{within_per_thousand}x{rounds}",
        f'{name}_bucket{{{labels}, le="+Inf"}}': f"0+1000x{rounds}",
        f"{name}_count{{{labels}}}": f"0+1000x{rounds}",
    }


def _slow(name: str, le: str, above: str, rounds: int, labels: str = POD) -> Series:
    """All in the bucket that ends at *above*; none below *le*."""
    return {
        f'{name}_bucket{{{labels}, le="{le}"}}': f"0+0x{rounds}",
        f'{name}_bucket{{{labels}, le="{above}"}}': f"0+1000x{rounds}",
        f'{name}_bucket{{{labels}, le="+Inf"}}': f"0+1000x{rounds}",
    }


def _fast(name: str, le: str, rounds: int, labels: str = POD) -> Series:
    return {
        f'{name}_bucket{{{labels}, le="{le}"}}': f"0+1000x{rounds}",
        f'{name}_bucket{{{labels}, le="+Inf"}}': f"0+1000x{rounds}",
    }


def _pace(seconds: Mapping[str, float], rounds: int = 60) -> Series:
    """Of workers: a thousand answers a round, so many seconds a token."""
    found = {}
    for worker, each in seconds.items():
        labels = f'{POD}, worker="{worker}"'
        found[f"gw_worker_time_per_token_seconds_sum{{{labels}}}"] = f"0+{1000 * each}x{rounds}"
        found[f"gw_worker_time_per_token_seconds_count{{{labels}}}"] = f"0+1000x{rounds}"
    return found


def _idle(*workers: str) -> Series:
    return {
        f'gw_worker_time_per_token_seconds_{each}{{{POD}, worker="{worker}"}}': "5x60"
        for worker in workers
        for each in ("sum", "count")
    }


def _failing(share: float, reason: str = "engine_failed") -> Series:
    labels = f'{POD}, worker="w1"'
    return {
        f'gw_worker_failures_total{{{labels}, reason="{reason}"}}': f"0+{1000 * share}x60",
        f"gw_worker_attempts_total{{{labels}}}": "0+1000x60",
    }


def _pods(wanted: int, ready: int, namespace: str = "inference") -> Series:
    labels = f'namespace="{namespace}", statefulset="gw-llm-gateway-worker"'
    return {
        f"kube_statefulset_replicas{{{labels}}}": f"{wanted}x60",
        f"kube_statefulset_status_replicas_ready{{{labels}}}": f"{ready}x60",
    }


_TTFT = "gen_ai_server_time_to_first_token_seconds"
_TPOT = "gen_ai_server_time_per_output_token_seconds"
_BUILD = {f"gw_build_info{{{POD}}}": "1x60"}
# 3 days and a little, in rounds of a quarter of an hour.
_DAYS = {"interval": "15m", "at": "80h"}
_ROUNDS = 80 * 4

CASES = (
    # 14.4 times too fast for an hour, of a budget of one in a thousand; and just below.
    Case(
        "GatewayAvailabilityBudgetBurns",
        _outcomes(16, 90),
        _outcomes(0.9, 90),
        "80m",
        severity="page",
    ),
    # For days 1.5 times too fast: nobody is woken, and somebody is told.
    Case(
        "GatewayAvailabilityBudgetBurns",
        _outcomes(1.5, _ROUNDS),
        _outcomes(0.9, _ROUNDS),
        **_DAYS,
        severity="ticket",
    ),
    Case(
        "GatewayFirstTokenBudgetBurns",
        _histogram(_TTFT, "2.5", 800, 90),
        _histogram(_TTFT, "2.5", 995, 90),
        "80m",
        severity="page",
    ),
    Case(
        "GatewayFirstTokenBudgetBurns",
        _histogram(_TTFT, "2.5", 985, _ROUNDS),
        _histogram(_TTFT, "2.5", 995, _ROUNDS),
        **_DAYS,
        severity="ticket",
    ),
    Case(
        "GatewayTokenPaceBudgetBurns",
        _histogram(_TPOT, "0.05", 800, 90),
        _histogram(_TPOT, "0.05", 995, 90),
        "80m",
        severity="page",
    ),
    Case(
        "GatewayTokenPaceBudgetBurns",
        _histogram(_TPOT, "0.05", 985, _ROUNDS),
        _histogram(_TPOT, "0.05", 995, _ROUNDS),
        **_DAYS,
        severity="ticket",
    ),
    Case("GatewayNoneThere", {f"gw_draining{{{POD}}}": "0x60"}, _BUILD),
    # Another installation is well: that says nothing of ours.
    Case(
        "GatewayNoneThere",
        {f"gw_build_info{{{POD}}}": "1x30 stale", 'gw_build_info{namespace="other"}': "1x60"},
        {f"gw_build_info{{{POD}}}": "1x60", 'gw_build_info{namespace="other"}': "1x60"},
    ),
    Case(
        "GatewayEventLoopLate",
        _slow("gw_loop_lag_seconds", "0.1", "0.25", 60),
        _fast("gw_loop_lag_seconds", "0.05", 60),
    ),
    Case(
        "GatewayCpuSaturated",
        {**_BUILD, f"process_cpu_seconds_total{{{POD}}}": "0+57x60"},
        # Another process, which is none of ours, does what it likes.
        {
            **_BUILD,
            f"process_cpu_seconds_total{{{POD}}}": "0+30x60",
            f'process_cpu_seconds_total{{{NS}, pod="db"}}': "0+59x60",
        },
    ),
    Case(
        "GatewayRestarts",
        {**_BUILD, f"process_start_time_seconds{{{POD}}}": "0+1x60"},
        {**_BUILD, f"process_start_time_seconds{{{POD}}}": "0x30 5x30"},
    ),
    Case(
        "GatewayStreamsCutByDrain",
        {f'gw_streams_cut_total{{{POD}, by="drain"}}': "0x50 3x10"},
        {
            f'gw_streams_cut_total{{{POD}, by="drain"}}': "3x60",
            f'gw_streams_cut_total{{{POD}, by="worker"}}': "0+1x60",
        },
    ),
    Case(
        "GatewayBugs",
        {f'gw_outcomes_total{{{POD}, outcome="internal"}}': "0x50 1x10"},
        {
            f'gw_outcomes_total{{{POD}, outcome="internal"}}': "0x60",
            f'gw_outcomes_total{{{POD}, outcome="upstream"}}': "0+9x60",
        },
    ),
    Case(
        "GatewayTracesLost",
        {f'gw_trace_spans_total{{{POD}, result="failed"}}': "0+5x60"},
        {f'gw_trace_spans_total{{{POD}, result="failed"}}': "5x60"},
    ),
    Case(
        "WorkersNone",
        {
            f'gw_worker_up{{{POD}, worker="w1"}}': "0x60",
            f'gw_worker_up{{{POD}, worker="w2"}}': "0x60",
        },
        {
            f'gw_worker_up{{{POD}, worker="w1"}}': "0x60",
            f'gw_worker_up{{{POD}, worker="w2"}}': "1x60",
        },
    ),
    # A gateway whose workers cannot even be found.
    Case("WorkersNone", _BUILD, {**_BUILD, f'gw_worker_up{{{POD}, worker="w1"}}': "1x60"}),
    Case(
        "WorkerPodsMissing",
        {**_BUILD, **_pods(3, 2)},
        # Of another product, in another namespace.
        {**_BUILD, **_pods(3, 3), **_pods(3, 1, namespace="elsewhere")},
    ),
    Case(
        "WorkerDown",
        {f'gw_worker_up{{{POD}, worker="w1"}}': "0x60"},
        # One gateway of two cannot reach it, or it is away for less than five minutes.
        {
            f'gw_worker_up{{{POD}, worker="w1"}}': "0x60",
            f'gw_worker_up{{{NS}, pod="gw-2", worker="w1"}}': "1x57 0x3",
        },
    ),
    Case(
        "WorkerSlow",
        _pace({"w1": 0.01, "w2": 0.012, "w3": 0.03}),
        _pace({"w1": 0.01, "w2": 0.012, "w3": 0.019}),
    ),
    # Of two the median lies between them: one is compared with the other.
    Case(
        "WorkerSlow",
        _pace({"w1": 0.01, "w2": 1}),
        _pace({"w1": 0.01, "w2": 0.019}),
    ),
    # Who has nothing to do has no pace, and hides nobody's.
    Case(
        "WorkerSlow",
        {**_pace({"w1": 0.01, "w2": 0.012, "w3": 0.03}), **_idle("w4", "w5", "w6")},
        {**_pace({"w1": 0.01}), **_idle("w2", "w3")},
    ),
    Case("WorkerFails", _failing(0.1), {**_failing(0.01), **_failing(0.5, "overloaded")}),
    Case(
        "WorkerEngineBroken",
        {f"worker_engine_broken{{{POD}}}": "1x60"},
        {f"worker_engine_broken{{{POD}}}": "1x30 0x30"},
    ),
    Case(
        "WorkersKvCacheFull",
        {f"worker_kv_cache_usage_ratio{{{POD}}}": "0.99x60"},
        {
            f"worker_kv_cache_usage_ratio{{{POD}}}": "0.99x60",
            f'worker_kv_cache_usage_ratio{{{NS}, pod="w2"}}': "0.2x60",
        },
    ),
    Case(
        "WorkersBusy",
        _slow("gw_queue_wait_seconds", "5", "10", 60, f'{POD}, tier="default"'),
        # Whoever asks for flex has time.
        {
            **_fast("gw_queue_wait_seconds", "1", 60, f'{POD}, tier="default"'),
            **_slow("gw_queue_wait_seconds", "5", "10", 60, f'{POD}, tier="flex"'),
        },
    ),
    Case("StoreDown", {f"gw_store_mode{{{POD}}}": "2x60"}, {f"gw_store_mode{{{POD}}}": "1x60"}),
    Case(
        "StoreSlow",
        _slow("gw_store_op_seconds", "0.05", "0.1", 60, f'{POD}, op="reserve"'),
        {
            **_fast("gw_store_op_seconds", "0.01", 60, f'{POD}, op="reserve"'),
            **_slow("gw_store_op_seconds", "0.05", "0.1", 60, f'{POD}, op="reap"'),
        },
    ),
    Case(
        "StoreMemoryHigh",
        {
            f"gw_redis_memory_used_bytes{{{POD}}}": "90x60",
            f"gw_redis_memory_max_bytes{{{POD}}}": "100x60",
        },
        # Without a limit there is no share of it.
        {
            f"gw_redis_memory_used_bytes{{{POD}}}": "90x60",
            f"gw_redis_memory_max_bytes{{{POD}}}": "0x60",
        },
    ),
    Case(
        "StoreEvicts",
        {f"gw_redis_evicted_keys_total{{{POD}}}": "0x50 1x10"},
        {f"gw_redis_evicted_keys_total{{{POD}}}": "0x60"},
    ),
    Case(
        "SettlementsStuck",
        {f"gw_settlement_oldest_seconds{{{POD}}}": "0+60x60"},
        {f"gw_settlement_oldest_seconds{{{POD}}}": "200x60"},
    ),
    Case(
        "SettlementsLost",
        {
            f"gw_settlements_lost_total{{{POD}}}": "0x50 1x10",
            f"gw_settlements_quarantined_total{{{POD}}}": "0x60",
        },
        {
            f"gw_settlements_lost_total{{{POD}}}": "1x60",
            f"gw_settlements_quarantined_total{{{POD}}}": "2x60",
        },
    ),
    Case(
        "SpoolFills",
        {f"gw_spool_bytes{{{POD}}}": "40000000x60"},
        {f"gw_spool_bytes{{{POD}}}": "10000000x60"},
    ),
    Case(
        "LeasesReaped",
        {f"gw_leases_reaped_total{{{POD}}}": "0x50 7x10"},
        {f"gw_leases_reaped_total{{{POD}}}": "7x60"},
    ),
    Case(
        "ProjectBudget80",
        {f'gw_project_budget_used_ratio{{{NS}, project="p", period="month"}}': "0.85x60"},
        {f'gw_project_budget_used_ratio{{{NS}, project="p", period="month"}}': "0.7x60"},
    ),
    Case(
        "ProjectBudgetSpent",
        {f'gw_project_budget_used_ratio{{{NS}, project="p", period="day"}}': "1x60"},
        {f'gw_project_budget_used_ratio{{{NS}, project="p", period="day"}}': "0.95x60"},
    ),
    # A hard budget, which is never used to the last token; and limits that are not budgets.
    Case(
        "ProjectBudgetSpent",
        {f'gw_project_limited_total{{{NS}, project="p", limit="monthly_tokens"}}': "0x50 3x10"},
        {
            f'gw_project_limited_total{{{NS}, project="p", limit="tokens_per_minute"}}': "0x50 3x10",
            f'gw_project_limited_total{{{NS}, project="p", limit="daily_tokens"}}': "3x60",
        },
    ),
    # promtool's clock begins at 0: a look at second 600, and at each minute.
    # Gone: its last sample is of minute 10, and there is none any more.
    Case(
        "UsageExporterStale",
        {f"gw_usage_exporter_last_look_timestamp_seconds{{{POD}}}": "0+60x10 stale"},
        {f"gw_build_info{{{POD}}}": "1x60"},
    ),
    Case(
        "UsageExporterStale",
        {f"gw_usage_exporter_last_look_timestamp_seconds{{{POD}}}": "600x60"},
        {f"gw_usage_exporter_last_look_timestamp_seconds{{{POD}}}": "0+60x60"},
    ),
    Case(
        "UsageExporterFolds",
        {f"gw_projects_folded{{{POD}}}": "9x120"},
        {f"gw_projects_folded{{{POD}}}": "0x120"},
        "110m",
    ),
)
