"""Streams: CPU of a chunk beside the floor, CPU of a token when many run, memory of a thousand."""

from __future__ import annotations

import asyncio
import json

import httpx

from bench.gateway.figures import Figure
from bench.gateway.load import left_unread, open_streams
from bench.gateway.stand import SETTLE_S, Stand, median
from tests.stack.product import metric_sample
from tests.stack.resources import resources

CHUNK_TARGET = 1.5  # times the floor
TOKEN_TARGET_US = 15.0
MEMORY_TARGET_MB = 200.0

UNREAD = 100  # clients


async def chunk(stand: Stand) -> list[Figure]:
    """32 streams of 50 tokens a second, in turns with the floor."""
    ours_us, floor_us, ratios = [], [], []
    directive = endless(50)
    for _ in range(stand.rounds):
        floor = await _us_a_chunk(stand, floor=True, directive=directive)
        ours = await _us_a_chunk(stand, floor=False, directive=directive)
        floor_us.append(floor)
        ours_us.append(ours)
        ratios.append(ours / floor)
    return [
        Figure("CPU of a chunk, 32 streams: the floor", median(floor_us), "us"),
        Figure("CPU of a chunk, 32 streams: the gateway", median(ours_us), "us"),
        Figure(
            "CPU of a chunk, 32 streams: gateway to floor", median(ratios), "times", CHUNK_TARGET
        ),
    ]


async def token(stand: Stand) -> list[Figure]:
    """256 streams of 50 tokens a second; the worker sends several tokens in a chunk."""
    each_us: list[float] = []
    floor_us: list[float] = []
    a_chunk: list[float] = []
    for _ in range(stand.rounds):
        for pid, ask, us in (
            (stand.floor.pid, stand.of_floor(endless(50)), floor_us),
            (stand.product.gateway.pid, stand.of_product(input=endless(50), stream=True), each_us),
        ):
            async with open_streams(ask, 256) as streams:
                await asyncio.sleep(SETTLE_S)
                generated = _generated(stand)
                used_s, chunks = await stand.cpu_of(pid, streams)
                tokens = _generated(stand) - generated
            us.append(used_s / tokens * 1e6)
            a_chunk.append(tokens / chunks)
    return [
        Figure("tokens of a chunk, 256 streams of 50 tokens/s", median(a_chunk), ""),
        Figure("CPU of a token, 256 streams of 50 tokens/s: the floor", median(floor_us), "us"),
        Figure(
            "CPU of a token, 256 streams of 50 tokens/s: the gateway",
            median(each_us),
            "us",
            TOKEN_TARGET_US,
        ),
    ]


async def memory(stand: Stand) -> list[Figure]:
    """A thousand streams of one token a second each."""
    pid = stand.product.gateway.pid
    before_mb = resources(pid).pss_kb / 1024
    async with open_streams(stand.of_product(input=endless(1), stream=True), 1000):
        await asyncio.sleep(SETTLE_S)
        open_mb = resources(pid).pss_kb / 1024
    return [
        Figure("memory (PSS) before", before_mb, "MB"),
        Figure("memory (PSS) with 1,000 open streams", open_mb, "MB", MEMORY_TARGET_MB),
    ]


async def unread(stand: Stand) -> list[Figure]:
    """Clients that ask and do not read, of an engine as fast as it goes."""
    pid = stand.product.gateway.pid
    before_kb, generated = resources(pid).pss_kb, _generated(stand)
    with left_unread(stand.of_product(input=endless(0), stream=True), UNREAD):
        await asyncio.sleep(SETTLE_S + stand.seconds)
        taken_kb = resources(pid).pss_kb - before_kb
        tokens = _generated(stand) - generated
    return [
        Figure(f"tokens for each of {UNREAD} clients that do not read", tokens / UNREAD, ""),
        Figure("memory (PSS) that each of them takes", taken_kb / UNREAD, "KB"),
    ]


async def _us_a_chunk(stand: Stand, *, floor: bool, directive: str) -> float:
    ask = stand.of_floor(directive) if floor else stand.of_product(input=directive, stream=True)
    pid = stand.floor.pid if floor else stand.product.gateway.pid
    async with open_streams(ask, 32) as streams:
        await asyncio.sleep(SETTLE_S)
        used_s, chunks = await stand.cpu_of(pid, streams)
    return used_s / chunks * 1e6


def endless(tokens_per_second: int) -> str:
    """An input that is answered without end, at this pace; 0 = as fast as it goes."""
    directive = {"reasoning": "", "repeat": 100_000, "tokens_per_second": tokens_per_second}
    if not tokens_per_second:
        del directive["tokens_per_second"]
    return f"SIM: {json.dumps(directive)}"


def _generated(stand: Stand) -> float:
    """Tokens so far, by the worker's own count."""
    text = httpx.get(stand.product.workers[0].metrics_url).text
    return metric_sample(text, "worker_tokens_total", {"kind": "completion"})
