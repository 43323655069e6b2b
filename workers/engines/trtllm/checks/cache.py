"""The KV cache, long prompts, and figures."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any

from workers.engines.trtllm.checks.bench import Bench, Check, Failed, Outcome, Passed, Skipped
from workers.engines.trtllm.configuration import TOKENS_PER_BLOCK
from workers.engines.trtllm.statistics import iteration_totals, kv_free_ratio, request_totals

_TOKENS = 200  # of a prompt: some blocks of 32
_PATIENCE_S = 10.0


async def _reuse(bench: Bench) -> Outcome:
    if not bench.configuration.kv_cache_reuse:
        return Skipped("WORKER_TRTLLM_KV_CACHE_REUSE is 0")
    first, second = await _twice(bench, _salt(), None)
    found = f"{first} cached tokens, then {second}, of {_TOKENS} and more"
    return Passed(found) if first == 0 and second >= _TOKENS // 2 else Failed(found)


async def _salts(bench: Bench) -> Outcome:
    if not bench.configuration.kv_cache_reuse:
        return Skipped("WORKER_TRTLLM_KV_CACHE_REUSE is 0")
    _, other = await _twice(bench, _salt(), _salt())
    return Passed() if other == 0 else Failed(f"{other} tokens of another project's prompt")


async def _twice(bench: Bench, salt: str, other: str | None) -> tuple[int, int]:
    request = bench.request(bench.long_prompt(_TOKENS), max_tokens=1)
    first = await bench.run(request, salt=salt)
    second = await bench.run(request, salt=other or salt)
    return first.cached_tokens, second.cached_tokens


def _salt() -> str:
    return f"gpu-check-{uuid.uuid4()}"


async def _chunks(bench: Bench) -> Outcome:
    prompt = bench.long_prompt(bench.configuration.layout.max_num_tokens)
    if len(prompt) + 8 > bench.configuration.context_tokens:
        return Skipped("WORKER_CONTEXT_TOKENS holds no such prompt")
    if not bench.configuration.chunked_prefill:
        return Skipped("WORKER_TRTLLM_CHUNKED_PREFILL is 0")
    run = await bench.run(bench.request(prompt, max_tokens=8), salt=_salt())
    found = f"a prompt of {len(prompt)} tokens: {run.completion.finish_reason}"
    return Passed(found) if len(run.token_ids) == 8 else Failed(found)


async def _perf_metrics(bench: Bench) -> Outcome:
    run = await bench.run(bench.request(max_tokens=16), salt=_salt())
    metrics = run.completion.request_perf_metrics
    totals = request_totals(metrics)
    if totals.prefill_s > 0 and totals.decode_s > 0 and totals.missed_blocks:
        return Passed(f"first token after {totals.prefill_s * 1000:.0f} ms")
    return Failed(f"{totals} of {metrics!r}")


async def _statistics(bench: Bench) -> Outcome:
    iteration: Mapping[str, Any] = {}
    async with asyncio.timeout(_PATIENCE_S):
        await bench.run(bench.request(max_tokens=16))
        async for each in bench.llm.get_stats_async(1.0):
            iteration = each
    if kv_free_ratio(iteration) is None or not iteration_totals(iteration).iterations:
        return Failed(f"{dict(iteration)!r}")
    blocks = iteration["kvCacheStats"]["maxNumBlocks"]
    tokens = blocks * TOKENS_PER_BLOCK
    found = f"{tokens:,} tokens of KV cache"
    if tokens < bench.configuration.context_tokens:
        return Failed(f"{found}, less than one generation's context")
    return Passed(found)


CHECKS = (
    Check(
        "prefix-reuse",
        "A prompt that was read before is not read again, and cached_tokens says so.",
        "Conversations cost as if each turn were the first; try WORKER_TRTLLM_SLIDING_WINDOW=1.",
        _reuse,
    ),
    Check(
        "cache-salt",
        "Nothing that was cached under one cache_salt is found under another.",
        "Set WORKER_TRTLLM_KV_CACHE_REUSE=0 before there are tenants: by timing, one could learn "
        "what another has asked.",
        _salts,
    ),
    Check(
        "chunked-prefill",
        "A prompt that is longer than a step is read in several.",
        "Long prompts are refused: raise WORKER_TRTLLM_MAX_NUM_TOKENS.",
        _chunks,
    ),
    Check(
        "perf-metrics",
        "request_perf_metrics tells the times of a generation, and blocks of the cache.",
        "worker_engine_seconds_total and worker_kv_cache_blocks_total stay 0; nothing else.",
        _perf_metrics,
    ),
    Check(
        "statistics",
        "get_stats_async() tells iterLatencyMS, kvCacheStats.freeNumBlocks and maxNumBlocks, and one "
        "generation of the longest kind has room.",
        "If not told, worker_kv_cache_usage_ratio or worker_iterations_total stays 0. If there is no room, lower "
        "WORKER_CONTEXT_TOKENS or take more GPUs.",
        _statistics,
    ),
)
