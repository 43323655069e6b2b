"""How full the KV cache is and where the time goes, from what TensorRT-LLM tells. Pure.

None of it is needed to serve: what is missing or of another shape counts as not told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from workers.engine import EngineTotals


def kv_free_ratio(iteration: Mapping[str, Any]) -> float | None:
    """Of one iteration's statistics; blocks that only wait to be used again are free."""
    blocks = iteration.get("kvCacheStats")
    if not isinstance(blocks, Mapping):
        return None
    free, most = blocks.get("freeNumBlocks"), blocks.get("maxNumBlocks")
    if not isinstance(free, int) or not isinstance(most, int) or most <= 0:
        return None
    return min(1.0, max(0.0, free / most))


def iteration_totals(iteration: Mapping[str, Any]) -> EngineTotals:
    """What one iteration adds: itself, and how long it took."""
    latency_ms = iteration.get("iterLatencyMS")
    if not isinstance(latency_ms, int | float) or not 0 < latency_ms < math.inf:
        return EngineTotals()
    return EngineTotals(iterations=1, iteration_s=latency_ms / 1000)


def request_totals(metrics: Any) -> EngineTotals:
    """What one generation adds; *metrics* is its request_perf_metrics."""
    timing = getattr(metrics, "timing_metrics", None)
    cache = getattr(metrics, "kv_cache_metrics", None)
    arrived, scheduled, first, last = (
        _seconds(getattr(timing, name, None))
        for name in (
            "arrival_time",
            "first_scheduled_time",
            "first_token_time",
            "last_token_time",
        )
    )
    return EngineTotals(
        queue_s=_between(arrived, scheduled),
        prefill_s=_between(scheduled, first),
        decode_s=_between(first, last),
        reused_blocks=_count(getattr(cache, "num_reused_blocks", None)),
        missed_blocks=_count(getattr(cache, "num_missed_blocks", None)),
    )


def _seconds(value: Any) -> float | None:
    """Points in time are timedeltas; numbers in some releases. 0: not reached."""
    if hasattr(value, "total_seconds"):
        value = value.total_seconds()
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _between(begin: float | None, end: float | None) -> float:
    return max(0.0, end - begin) if begin is not None and end is not None else 0.0


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
