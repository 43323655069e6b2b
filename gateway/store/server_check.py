"""Is this Redis fit to keep books? Its version, and how it keeps what it is told. Pure, then once.

What makes it unfit keeps the gateway from being ready; what is merely unwise is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import anyio
from redis.asyncio import Redis, RedisCluster

from gateway.store.errors import StoreUnavailable, store_errors

_log = logging.getLogger(__name__)

VersionCheck = Literal["warn", "refuse", "off"]
OLDEST = (6, 2)
# The first release of each line in which a script cannot run code of its own any more
# (CVE-2025-49844 and its siblings). Lines that are not named have had none, or are newer.
FIXED_REDIS = {(6, 2): 20, (7, 2): 11, (7, 4): 6, (8, 0): 4, (8, 2): 2}
FIXED_VALKEY = {(7, 2): 11, (8, 0): 6, (8, 1): 4}
NEWEST_REDIS, NEWEST_VALKEY = (8, 2), (8, 1)
RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the server; *is_grave* keeps us from using it."""

    text: str
    is_grave: bool = False


def findings(info: Mapping[str, Any], check: VersionCheck) -> list[Finding]:
    """What `INFO` says that an operator should know. Missing fields say nothing."""
    found = [*_of_version(info, check)]
    if info.get("role") == "slave":
        found.append(Finding("it is a replica, which takes no writes"))
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and info.get("maxmemory"):
        found.append(
            Finding(
                f"its maxmemory-policy is {policy}: it may forget what was charged, and charge it"
                " again; set noeviction"
            )
        )
    if info.get("aof_enabled") == 0:
        found.append(
            Finding(
                "its append-only file is off: with a crash all is lost since the last snapshot;"
                " set appendonly yes"
            )
        )
    return found


def _of_version(info: Mapping[str, Any], check: VersionCheck) -> list[Finding]:
    valkey = info.get("server_name") == "valkey"
    text = str(info.get("valkey_version" if valkey else "redis_version", ""))
    parts = text.split(".")
    if len(parts) < 2 or not all(part.isdigit() for part in parts[:3]):
        return []
    line, patch = (int(parts[0]), int(parts[1])), int(parts[2]) if len(parts) > 2 else 0
    name = f"{'Valkey' if valkey else 'Redis'} {text}"
    if line < OLDEST:
        return [Finding(f"{name} is too old: 6.2 is needed", is_grave=True)]
    if check == "off":
        return []
    fixed, newest = (FIXED_VALKEY, NEWEST_VALKEY) if valkey else (FIXED_REDIS, NEWEST_REDIS)
    if line > newest or patch >= fixed.get(line, 1 << 30):
        return []
    better = ", ".join(f"{a}.{b}.{c}" for (a, b), c in fixed.items())
    return [
        Finding(
            f"{name} lets scripts run code of their own (CVE-2025-49844), unless your distribution"
            f" has mended it; fixed in {better}",
            is_grave=check == "refuse",
        )
    ]


class StoreCheck:
    """Looks once, as soon as Redis answers. The app starts `run()`."""

    def __init__(self, redis: Redis, check: VersionCheck) -> None:
        self._redis = redis
        self._check = check
        # Why this Redis must not be used; None: nothing is known against it.
        self.why_unfit: str | None = None

    async def run(self) -> None:
        """Until it has looked."""
        info = await self._first_answer()
        for finding in findings(info, self._check):
            if finding.is_grave:
                self.why_unfit = f"Redis: {finding.text}"
                _log.error("this Redis must not be used: %s", finding.text)
            else:
                _log.warning("Redis: %s", finding.text)

    async def _first_answer(self) -> Mapping[str, Any]:
        while True:
            try:
                return await self._info()
            except StoreUnavailable as exc:
                if "NoPermission" in str(exc):
                    _log.info("Redis does not let us look at it (INFO): it is not checked")
                    return {}
                await anyio.sleep(RETRY_S)

    async def _info(self) -> Mapping[str, Any]:
        """Of a cluster: of one of its masters."""
        options: dict[str, Any] = {}
        if _is_cluster(self._redis):
            options["target_nodes"] = RedisCluster.RANDOM
        with store_errors():
            told: dict[str, Any] = await self._redis.info(**options)
        return told


def _is_cluster(client: object) -> bool:
    return isinstance(client, RedisCluster)
