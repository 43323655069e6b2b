"""Requests that end: CPU of a whole answer, what is added to the first token, two processes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import redis.asyncio

from bench.gateway.direct import Direct
from bench.gateway.figures import Figure
from bench.gateway.load import NUMBER, Ask, KeptConnection, open_streams, to_product
from bench.gateway.stand import Stand, median
from bench.gateway.streams import endless
from tests.stack.resources import cpu_s

PLAIN_TARGET_MS = 1.5
ROUND_TRIPS_TARGET = 2.0
ADDED_P50_TARGET_MS, ADDED_P99_TARGET_MS = 3.0, 15.0
SCALING_TARGET = 1.8

CLIENTS = 8
BESIDE = 31  # streams, while the first token is waited for
WARM_UP = 200  # requests


async def quiet(stand: Stand) -> None:
    """Wait until nothing is generated, and nothing is settled any more."""
    before, scripts = -1, await _scripts(stand)
    async with asyncio.timeout(60):
        while stand.product.metric("gw_inflight_requests") or scripts != before:
            await asyncio.sleep(1)
            before, scripts = scripts, await _scripts(stand)


async def plain(stand: Stand) -> list[Figure]:
    """Whole answers to prompts of 200 tokens, eight clients, one after the other."""
    ask = stand.of_product(input=_of_200_tokens(stand))
    pid = stand.product.gateway.pid
    await _serve([ask], WARM_UP)
    each_ms, trips = [], []
    for _ in range(stand.rounds):
        scripts_before, before_s = await _scripts(stand), cpu_s(pid)
        count = await _serve([ask], _requests(stand))
        each_ms.append((cpu_s(pid) - before_s) / count * 1000)
        await asyncio.sleep(0.5)  # what settles after the answer
        trips.append((await _scripts(stand) - scripts_before) / count)
    return [
        Figure("CPU of a whole answer, 200 prompt tokens", median(each_ms), "ms", PLAIN_TARGET_MS),
        Figure(
            "round trips to Redis of a request: scripts",
            median(trips),
            "",
            ROUND_TRIPS_TARGET + 0.05,
        ),
    ]


async def first_token(stand: Stand) -> list[Figure]:
    """One request after the other beside 31 streams, in turns through the gateway and directly."""
    text = f"SIM: {json.dumps({'reasoning': '', 'text': 'Hello.'})}"
    through_s: list[float] = []
    direct_s: list[float] = []
    async with (
        open_streams(stand.of_product(input=endless(50), stream=True), BESIDE),
        KeptConnection(stand.of_product(input=text, stream=True)) as client,
        Direct(stand.product.triton_address) as triton,
    ):
        await client.first_delta_s()
        prompt = stand.prompt(text)
        until = asyncio.get_running_loop().time() + stand.rounds * stand.seconds
        while asyncio.get_running_loop().time() < until:
            through_s.append(await client.first_delta_s())
            direct_s.append(await triton.first_token_s(prompt))
            await asyncio.sleep(0.02)
    added_p50, added_p99 = (
        (_quantile(through_s, share) - _quantile(direct_s, share)) * 1000 for share in (0.5, 0.99)
    )
    return [
        Figure("first token from Triton directly, p50", _quantile(direct_s, 0.5) * 1000, "ms"),
        Figure("added to the first token, p50", added_p50, "ms", ADDED_P50_TARGET_MS),
        Figure("p99 of the first token, more than directly", added_p99, "ms", ADDED_P99_TARGET_MS),
    ]


async def two_processes(stand: Stand) -> list[Figure]:
    """Whether a request costs two gateways more than one: what they share is Redis and workers.

    With as many cores as are wanted, throughput is their number over the CPU of a request. Here
    two gateways share the cores as well, and each other's caches: so they are also measured
    in turns with two that share nothing else.
    """
    text = _of_200_tokens(stand)
    one = stand.of_product(input=text)
    pid = stand.product.gateway.pid
    scaling, sharing = [], []
    with stand.another_gateway() as (replica, replica_pid), stand.another_product() as stranger:
        beside = to_product(replica, stand.key, input=text)
        apart = to_product(stranger.url, stranger.new_project().key, input=text)
        await _serve([one, beside, apart], WARM_UP)
        for _ in range(stand.rounds):
            alone_s = await _cpu_s_each(stand, [one], [pid])
            shared_s = await _cpu_s_each(stand, [one, beside], [pid, replica_pid])
            apart_s = await _cpu_s_each(stand, [one, apart], [pid, stranger.gateway.pid])
            scaling.append(2 * alone_s / shared_s)
            sharing.append(2 * apart_s / shared_s)
    return [
        Figure(
            "two gateways to one, requests for the same CPU",
            median(scaling),
            "times",
            SCALING_TARGET,
            at_least=True,
        ),
        Figure(
            "the same, to two that share nothing but the machine",
            median(sharing),
            "times",
            SCALING_TARGET,
            at_least=True,
        ),
    ]


async def _cpu_s_each(stand: Stand, asks: Sequence[Ask], pids: Sequence[int]) -> float:
    """CPU of these gateways for a request."""
    before_s = sum(map(cpu_s, pids))
    count = await _serve(asks, _requests(stand))
    return (sum(map(cpu_s, pids)) - before_s) / count


async def _serve(asks: Sequence[Ask], requests: int) -> int:
    """Send so many requests over kept connections, in turns to *asks*; how many were answered."""
    each = requests // CLIENTS

    async def client(ask: Ask) -> None:
        async with KeptConnection(ask) as connection:
            for _ in range(each):
                await connection.whole()

    await asyncio.gather(*(client(asks[number % len(asks)]) for number in range(CLIENTS)))
    return each * CLIENTS


def _requests(stand: Stand) -> int:
    """As many as take about a round's time."""
    return round(stand.seconds * 200)


def _of_200_tokens(stand: Stand) -> str:
    directive = f"SIM: {json.dumps({'reasoning': '', 'text': 'Four words of answer.'})}\n"
    text = f"{directive}Day {NUMBER}. "
    while len(stand.prompt(text)) < 200:
        text += "It rained. "
    return text


async def _scripts(stand: Stand) -> int:
    """How many scripts Redis has run so far: a request's round trips are all that."""
    async with redis.asyncio.from_url(stand.product.redis_url) as client:
        stats = await client.info("commandstats")
    return sum(
        stats.get(f"cmdstat_{command}", {"calls": 0})["calls"]
        for command in ("evalsha", "fcall", "eval")
    )


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)]
