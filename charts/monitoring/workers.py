"""Which worker is slow, full, failing or gone?"""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from charts.monitoring.panels import (
    QUARTER,
    THIRD,
    board,
    graph,
    mean,
    of,
    rate,
    rows,
    total,
)


def workers() -> Dashboard:
    attempts = total("gw_worker_attempts_total", by="worker")
    # Who has never failed has no series of it.
    failures = total("gw_worker_failures_total", by="worker")
    return board(
        "workers",
        "Workers",
        "Which worker is slow, full, failing or gone? `worker` is an address, as gateways see it; `pod` what it tells itself.",
        {
            "As gateways see them": [
                rows(
                    "Each worker",
                    "Takes requests: the share of the gateways that think so. Failed: of what it was asked.",
                    {
                        "takes requests": f"avg by (worker) ({of('gw_worker_up')})",
                        "in flight": f"sum by (worker) ({of('gw_worker_inflight')})",
                        "asked, a second": total("gw_worker_attempts_total", by="worker"),
                        "failed": f"({failures} or 0 * {attempts}) / {attempts}",
                        "first token": mean("gw_worker_first_token_seconds", by="worker"),
                        "per token": mean("gw_worker_time_per_token_seconds", by="worker"),
                    },
                    by="worker",
                    units={
                        "takes requests": "percentunit",
                        "failed": "percentunit",
                        "first token": "s",
                        "per token": "s",
                    },
                ),
                graph(
                    "First token, by worker",
                    "From asking it. One far above the others is slow, or full while they are not.",
                    "s",
                    {"{{worker}}": mean("gw_worker_first_token_seconds", by="worker")},
                ),
                graph(
                    "Time per token, by worker",
                    "One far above the others: a GPU that throttles, a neighbour on its node, a fault.",
                    "s",
                    {"{{worker}}": mean("gw_worker_time_per_token_seconds", by="worker")},
                ),
                graph(
                    "Takes requests",
                    "Share of the gateways that would give it one. 0: down, draining, or left alone because it fails.",
                    "percentunit",
                    {"{{worker}}": f"avg by (worker) ({of('gw_worker_up')})"},
                    maximum=1,
                ),
                graph(
                    "Generations in flight",
                    "Of all gateways.",
                    "short",
                    {"{{worker}}": f"sum by (worker) ({of('gw_worker_inflight')})"},
                    stacked=True,
                ),
                graph(
                    "Failures",
                    "unreachable, silent, ended_early: it died; overloaded, draining: it was polite; engine_failed: its"
                    " log tells.",
                    "cps",
                    {
                        "{{worker}} {{reason}}": total(
                            "gw_worker_failures_total", by="worker, reason"
                        )
                    },
                    width=THIRD,
                ),
                graph(
                    "Takeovers",
                    "Another worker went on, and no client noticed. mid_stream: behind tokens that were out.",
                    "cps",
                    {"{{when}}": total("gw_worker_takeovers_total", by="when")},
                    width=THIRD,
                ),
                graph(
                    "Ejections",
                    "How often gateways left a worker alone because it kept failing.",
                    "cps",
                    {"{{worker}}": total("gw_worker_ejections_total", by="worker")},
                    width=THIRD,
                ),
            ],
            "As they tell themselves": [
                graph(
                    "Running",
                    "Generations that share the batch.",
                    "short",
                    {"{{pod}}": f"sum by (pod) ({of('worker_running_requests')})"},
                ),
                graph(
                    "Queued in the worker",
                    "Gateways give a worker no more than it runs at once, about: this should stay near 0.",
                    "short",
                    {"{{pod}}": f"sum by (pod) ({of('worker_queued_requests')})"},
                ),
                graph(
                    "KV cache taken",
                    "By generations that run. At 1 new ones wait, whatever room the batch has.",
                    "percentunit",
                    {"{{pod}}": f"max by (pod) ({of('worker_kv_cache_usage_ratio')})"},
                    maximum=1,
                    limits=((0.95, "red"),),
                ),
                graph(
                    "Prompt tokens found in the cache",
                    "Share of the prompts that need not be computed again. Low for conversations: they do not return to"
                    " their worker, or the cache is too small.",
                    "percentunit",
                    {
                        "{{pod}}": f"{total('worker_tokens_total', kind='cached', by='pod')}"
                        f" / {total('worker_tokens_total', kind='prompt', by='pod')}"
                    },
                    maximum=1,
                ),
                graph(
                    "Tokens a second",
                    "Computed: prompt and completion.",
                    "short",
                    {
                        "{{pod}} {{kind}}": total(
                            "worker_tokens_total", kind="prompt|completion", by="pod, kind"
                        )
                    },
                    width=QUARTER,
                ),
                graph(
                    "Length of an iteration",
                    "Of one step of the batch, which takes all that decode a token further: the engine's own share of"
                    " the time per token. Longer with long prompts, a full batch, a GPU that throttles.",
                    "s",
                    {
                        "{{pod}}": f"{total('worker_iteration_seconds_total', by='pod')}"
                        f" / {total('worker_iterations_total', by='pod')}"
                    },
                    width=QUARTER,
                ),
                graph(
                    "Time in the engine, by phase",
                    "Seconds that generations spend, a second: queue for a place, prefill, decode.",
                    "short",
                    {"{{phase}}": total("worker_engine_seconds_total", by="phase")},
                    width=QUARTER,
                    stacked=True,
                ),
                graph(
                    "Engine broken",
                    "1: it will never generate again, and its pod will be restarted.",
                    "short",
                    {"{{pod}}": f"max by (pod) ({of('worker_engine_broken')})"},
                    width=QUARTER,
                    limits=((1, "red"),),
                ),
            ],
            "GPUs (dcgm-exporter)": [
                graph(
                    "Utilisation",
                    "Low beside a long queue: the engine waits for something else.",
                    "percent",
                    {"{{pod}} GPU {{gpu}}": f"max by (pod, gpu) ({of('DCGM_FI_DEV_GPU_UTIL')})"},
                    width=QUARTER,
                ),
                graph(
                    "Memory",
                    "Weights and KV cache: nearly full is as it should be, and constant.",
                    "decmbytes",
                    {"{{pod}} GPU {{gpu}}": f"max by (pod, gpu) ({of('DCGM_FI_DEV_FB_USED')})"},
                    width=QUARTER,
                ),
                graph(
                    "Power",
                    "A GPU that draws less than the others throttles, or idles.",
                    "watt",
                    {"{{pod}} GPU {{gpu}}": f"max by (pod, gpu) ({of('DCGM_FI_DEV_POWER_USAGE')})"},
                    width=QUARTER,
                ),
                graph(
                    "XID errors",
                    "The driver's last error; anything but 0 belongs to whoever looks after nodes.",
                    "short",
                    {"{{pod}} GPU {{gpu}}": f"max by (pod, gpu) ({of('DCGM_FI_DEV_XID_ERRORS')})"},
                    width=QUARTER,
                    limits=((1, "red"),),
                ),
            ],
            "Triton": [
                graph(
                    "Requests",
                    "Streams that ended, as the server counts them; probes included.",
                    "reqps",
                    {
                        "{{pod}} ok": total("nv_inference_request_success", by="pod"),
                        "{{pod}} failed": f"sum by (pod) ({rate('nv_inference_request_failure')})",
                    },
                ),
            ],
        },
    )
