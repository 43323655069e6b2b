"""Usage in minutes, hours and days: each response once, however often and in whatever order one asks."""

from __future__ import annotations

import itertools
import struct
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.usage import UsageReader
from gateway.store.usage_buckets import Bucket, Grouping, UsageBuckets, Width

PROJECT = "prj_usage_buckets"
MINUTE, DAY = 60, 86_400
NUMBERS = itertools.count()  # Redis 6.2 does not number entries of one millisecond by itself
START = 20_779 * DAY + 12 * 3600  # noon


async def charge(
    redis: Redis, at: int, *, settled_after: int = 1, kid: str = "kid1", tokens: int = 100
) -> None:
    """A response that was admitted *at*, Unix s."""
    day = at // DAY
    entry = f"r{at},{kid},m,completed,settled,1,{tokens},40,10,5,{day},{at * 1000}"
    await redis.xadd(
        keys.ledger(PROJECT), {"e": entry}, id=f"{(at + settled_after) * 1000}-{next(NUMBERS)}"
    )


def buckets(redis: Redis) -> UsageBuckets:
    return UsageBuckets(UsageReader(redis))


async def read(
    reader: UsageBuckets, start: int, end: int, *by: Grouping, width: Width = "1m", **more: Any
) -> list[Bucket]:
    return await reader.read([PROJECT], start=start, end=end, width=width, group_by=by, **more)


def requests(found: list[Bucket]) -> list[int]:
    return [sum(count for count, _ in bucket.sums.values()) for bucket in found]


async def test_a_response_is_in_the_minute_it_was_admitted_in(redis: Redis) -> None:
    await charge(redis, START)
    await charge(redis, START + 59)
    await charge(redis, START + 60)
    found = await read(buckets(redis), START, START + 180)
    assert requests(found) == [2, 1, 0]
    ((count, usage),) = found[0].sums.values()
    assert (count, usage.input_tokens, usage.output_tokens, usage.cached_tokens) == (2, 200, 20, 80)
    assert requests(await read(buckets(redis), START, START + 3600, width="1h")) == [3]


async def test_what_comes_later_is_read_and_nothing_is_read_twice(redis: Redis) -> None:
    reader = buckets(redis)
    assert requests(await read(reader, START, START + 120)) == [0, 0]
    await charge(redis, START + 5)
    assert requests(await read(reader, START, START + 120)) == [1, 0]
    assert requests(await read(reader, START, START + 120)) == [1, 0]
    # A long one, whose minute is over when it is settled.
    await charge(redis, START + 10, settled_after=900)
    assert requests(await read(reader, START, START + 120)) == [2, 0]
    # And what was before the first question.
    assert requests(await read(reader, START - 60, START + 120)) == [0, 2, 0]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    admitted=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 900)), max_size=30),
    asked=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 10)), min_size=1, max_size=5),
)
async def test_any_order_of_questions_gives_the_same_answers(
    redis: Redis, admitted: list[tuple[int, int]], asked: list[tuple[int, int]]
) -> None:
    await redis.flushall()
    for at, settled_after in sorted(admitted, key=sum):
        await charge(redis, START + at, settled_after=settled_after)
    reader = buckets(redis)
    for first, length in asked:
        start, end = START + first * MINUTE, START + (first + length) * MINUTE
        expected = [
            sum(minute <= START + at < minute + MINUTE for at, _ in admitted)
            for minute in range(start, end, MINUTE)
        ]
        assert requests(await read(reader, start, end)) == expected
        assert requests(await read(buckets(redis), start, end)) == expected


async def test_sums_are_told_apart_as_asked(redis: Redis) -> None:
    await charge(redis, START, kid="kid1")
    await charge(redis, START + 1, kid="kid2")
    await charge(redis, START + 2, kid="usr_anna")
    owners = {"kid1": "app_a", "kid2": "app_a"}
    reader = buckets(redis)
    (bucket,) = await read(reader, START, START + 60, "api_key_id", owners=owners)
    assert {group.api_key_id for group in bucket.sums} == {"kid1", "kid2", "usr_anna"}
    (bucket,) = await read(reader, START, START + 60, "user_id", owners=owners)
    assert {group.user_id: count for group, (count, _) in bucket.sums.items()} == {
        "app_a": 2,
        "usr_anna": 1,
    }
    assert requests(await read(reader, START, START + 60, kids=["kid2"])) == [1]
    assert requests(await read(reader, START, START + 60, models=["other"])) == [0]
    one = await read(reader, START, START + 60, owners=owners, user_ids=["app_a"])
    assert requests(one) == [2]


async def test_days_are_read_from_the_counters(redis: Redis) -> None:
    for day in (20_778, 20_779):
        counters = struct.pack(">5d", 2, 100, 64, 40, 30)
        await redis.hset(keys.usage(PROJECT, day), "m|kid1", counters)
    found = await read(buckets(redis), 20_778 * DAY, 20_781 * DAY, width="1d")
    assert requests(found) == [2, 2, 0]
