"""Whether the time of a refusal tells what is wrong with a key: `make bench-timing`.

As dudect does it: two classes of wrong keys, drawn in random order, the slowest times cut off,
Welch's t. But in many rounds, each with new members, and t over the rounds: where two members
lie in memory makes some nanoseconds, and with 200,000 times of the same ones t is 18 for
classes that are alike (seen). |t| below 4.5 is no evidence of a difference; a control whose
classes are alike is told beside it.

What must not differ is what a secret could be guessed by. Whether there is a kid is told as
well, for the record: a kid is public, and the difference is far below what a network shows.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from redis.asyncio import Redis

from bench.command import at_least_one, run_command
from gateway.iam import base62
from gateway.iam.api_key import ApiKey
from gateway.iam.secret_hash import HashedSecret, Peppers
from gateway.quota.limits import NO_LIMITS
from gateway.store.administration import Administration, IssuedKey
from gateway.store.directory import Directory, Unauthenticated
from tests.stack.process import free_port
from tests.stack.redis import start_redis

THRESHOLD = 4.5
KEPT = 0.9  # of the fastest of each class
MEMBERS = 100
ROUNDS = 50

PEPPERS = Peppers({1: bytes(32)})
SECRET = "7u7ED6UzpF5eHPrBI5AHumY7UBpOQIJz"
STORED = PEPPERS.hash(SECRET)

Refusal = Callable[[], object]
Members = Callable[[], Refusal]


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m bench.timing", description=__doc__)
    arguments.add_argument("--samples", type=at_least_one, default=200_000, help="of both classes")
    samples = arguments.parse_args().samples
    _compared("control: alike", samples, _far_secret, _far_secret)
    worst = max(
        abs(_compared("a hash that begins as the stored one", samples, _near_hash, _far_hash)),
        abs(_compared("a secret that begins as the right one", samples, _near_secret, _far_secret)),
    )
    asyncio.run(_kids(samples))
    return 0 if worst < THRESHOLD else 1


def _near_hash() -> Refusal:
    stored = HashedSecret(1, b"".join([STORED.digest[:30], random.randbytes(2)]))
    return partial(PEPPERS.verify, SECRET, stored)


def _far_hash() -> Refusal:
    stored = HashedSecret(1, b"".join([random.randbytes(30), random.randbytes(2)]))
    return partial(PEPPERS.verify, SECRET, stored)


def _near_secret() -> Refusal:
    return partial(PEPPERS.verify, "".join([SECRET[:30], _text(2)]), STORED)


def _far_secret() -> Refusal:
    return partial(PEPPERS.verify, "".join([_text(30), _text(2)]), STORED)


async def _kids(samples: int) -> None:
    port = free_port()
    with TemporaryDirectory() as path, start_redis(port, Path(path)):
        async with Redis(host="127.0.0.1", port=port) as redis:
            administration = Administration(redis)
            await administration.create_project("", NO_LIMITS, with_id="prj_timing")
            # A clock that stands still: nothing is loaded once all are known.
            directory = Directory(redis, PEPPERS, monotonic=lambda: 1.0)
            known, unknown = [], [ApiKey(_text(16), _text(32)) for _ in range(10)]
            for _ in range(10):
                issued = await administration.create_key("prj_timing", "", peppers=PEPPERS)
                assert isinstance(issued, IssuedKey)
                known.append(ApiKey(issued.record.kid, _text(32)))
            for _ in range(3):
                for key in (*known, *unknown):
                    answer = await directory.authenticate(key, source=key.kid)
                    assert isinstance(answer, Unauthenticated)

            def refused(key: ApiKey) -> None:
                # It does not wait for anything, so one step is all of it.
                try:
                    directory.authenticate(key).send(None)
                except StopIteration:
                    return
                raise AssertionError("the directory has waited")

            _compared(
                "no such kid, or a wrong secret (public)",
                samples,
                lambda: partial(refused, random.choice(unknown)),
                lambda: partial(refused, random.choice(known)),
            )


def _compared(name: str, samples: int, one: Members, other: Members) -> float:
    rounds = []
    for n in range(ROUNDS):
        # They change places: the first of two is slower by some nanoseconds, whatever it is.
        if n % 2:
            rounds.append(_round(samples // ROUNDS, one, other))
        else:
            rounds.append(_round(samples // ROUNDS, other, one)[::-1])
    means = [statistics.fmean(each) for each in zip(*rounds, strict=True)]
    differences = [first - second for first, second in rounds]
    error = statistics.stdev(differences) / math.sqrt(ROUNDS)
    t = statistics.fmean(differences) / error
    told = f"{means[0]:6.0f} ns {means[1]:6.0f} ns   t = {t:+7.2f}"
    print(f"  {name:<40} {told}   {'no difference' if abs(t) < THRESHOLD else 'differs'}")
    return t


def _round(samples: int, one: Members, other: Members) -> tuple[float, float]:
    """The mean times of the two classes, in ns."""
    # Made in turn, so that they lie in memory alike.
    pairs = [(one(), other()) for _ in range(MEMBERS)]
    times: tuple[list[int], list[int]] = ([], [])
    for _ in range(samples):
        # Both are drawn, whichever is asked: the caches see the same.
        drawn = random.choice(pairs)[0], random.choice(pairs)[1]
        which = random.getrandbits(1)
        refuse = drawn[which]
        began = time.perf_counter_ns()
        refuse()
        times[which].append(time.perf_counter_ns() - began)
    return _mean_of_fastest(times[0]), _mean_of_fastest(times[1])


def _mean_of_fastest(times: Sequence[int]) -> float:
    return statistics.fmean(sorted(times)[: int(len(times) * KEPT)])


def _text(length: int) -> str:
    return "".join(random.choices(base62.ALPHABET, k=length))


if __name__ == "__main__":
    run_command(main)
