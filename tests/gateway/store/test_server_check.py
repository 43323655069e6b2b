"""Whether a Redis is fit to keep books."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.store.server_check import StoreCheck, VersionCheck, findings

FIT = {"redis_version": "8.2.2", "role": "master", "aof_enabled": 1, "maxmemory": 0}


def told(check: VersionCheck = "warn", **fields: Any) -> list[tuple[str, bool]]:
    return [(each.text, each.is_grave) for each in findings({**FIT, **fields}, check)]


def test_a_fit_one_is_not_spoken_of() -> None:
    assert told() == []
    assert told(redis_version="9.0.0") == []
    assert told(server_name="valkey", redis_version="7.2.4", valkey_version="8.1.4") == []


@pytest.mark.parametrize(
    ("version", "is_known_bad"),
    [
        ("6.2.19", True),
        ("6.2.20", False),
        ("7.0.15", True),
        ("7.2.10", True),
        ("7.2.11", False),
        ("7.4.5", True),
        ("8.0.3", True),
        ("8.2.1", True),
        ("8.4.0", False),
    ],
)
def test_versions_with_known_holes_are_told_or_refused(version: str, is_known_bad: bool) -> None:
    assert bool(told(redis_version=version)) is is_known_bad
    assert told("off", redis_version=version) == []
    assert [grave for _, grave in told("refuse", redis_version=version)] == [True] * is_known_bad


def test_valkey_has_versions_of_its_own() -> None:
    ((text, grave),) = told(server_name="valkey", redis_version="7.2.4", valkey_version="8.1.1")
    assert "Valkey 8.1.1" in text
    assert not grave


def test_too_old_is_refused_whatever_is_asked() -> None:
    ((text, grave),) = told("off", redis_version="6.0.16")
    assert text == "Redis 6.0.16 is too old: 6.2 is needed"
    assert grave


def test_what_could_be_lost_is_told() -> None:
    ((text, _),) = told(aof_enabled=0)
    assert "append-only file is off" in text
    ((text, _),) = told(maxmemory=1000, maxmemory_policy="allkeys-lru")
    assert "allkeys-lru" in text
    assert told(maxmemory=0, maxmemory_policy="allkeys-lru") == []
    ((text, _),) = told(role="slave")
    assert "replica" in text


async def test_a_real_one_is_looked_at(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    check = StoreCheck(redis, "refuse")
    await check.run()
    assert "append-only file is off" in caplog.text
    version = (await redis.info("server"))["redis_version"]
    if version.startswith(("6.2.14", "7.0.15", "8.0.2")):
        assert check.why_unfit is not None
        assert "CVE-2025-49844" in check.why_unfit
