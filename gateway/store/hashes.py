"""Hashes and sets of text: the few things that administration does with Redis."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from redis.asyncio import Redis

from gateway.store.errors import store_errors
from gateway.store.records import Hash
from gateway.store.replies import fields, members, text
from gateway.store.scripts import read_script

READ_A_TRIP = 500


class Hashes:
    """Every method raises StoreUnavailable."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._create = redis.register_script(read_script("create_record"))

    async def create(self, key: str, stored: Hash) -> bool:
        """Write a hash unless it is there; whether it was not."""
        with store_errors():
            reply = await self._create(keys=[key], args=list(chain.from_iterable(stored.items())))
        return text(reply[0]) == "created"

    async def read(self, key: str) -> dict[str, str]:
        """Empty if there is none."""
        with store_errors():
            return fields(await self._redis.hgetall(key))

    async def read_all(self, keys: Sequence[str]) -> list[dict[str, str]]:
        """The same of many, in few round trips."""
        found: list[dict[str, str]] = []
        for start in range(0, len(keys), READ_A_TRIP):
            with store_errors():
                pipeline = self._redis.pipeline(transaction=False)
                for key in keys[start : start + READ_A_TRIP]:
                    pipeline.hgetall(key)  # type: ignore[unused-awaitable]  # queued
                found += [fields(each) for each in await pipeline.execute()]
        return found

    async def field(self, key: str, name: str) -> str | None:
        with store_errors():
            stored = await self._redis.hget(key, name)
        return None if stored is None else text(stored)

    async def members(self, key: str) -> list[str]:
        """Of a set, sorted."""
        with store_errors():
            return members(await self._redis.smembers(key))

    async def now(self) -> int:
        """Unix time in seconds, by Redis's clock like everything else that is stored."""
        with store_errors():
            seconds, _ = await self._redis.time()
        return int(seconds)
