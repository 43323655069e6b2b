"""Who bears this token, and what may they use: keys and projects, cached for seconds.

The cache may be late, never wrong for long: `RedisLedger.reserve` compares the
config version of the grant it is given, and `Stale` means reload and ask again.
So a revoked key stops working with the next reserve, on every gateway, and no
message has to reach them.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cachetools import TTLCache
from redis.asyncio import Redis

from gateway.iam import api_key
from gateway.iam.policy import Principal
from gateway.iam.secret_hash import Peppers
from gateway.store import keys
from gateway.store.errors import ask_twice, store_errors
from gateway.store.records import (
    KeyRecord,
    KeyState,
    ProjectConfig,
    ProjectState,
    read_key,
    read_project,
)
from gateway.store.replies import fields
from gateway.store.single_flight import SingleFlight

CACHE_S = 10.0
UNKNOWN_CACHE_S = 5.0
CACHE_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class Grant:
    """What a verified key may do."""

    principal: Principal
    projects: Mapping[str, ProjectConfig]  # by id: those of principal.projects


class Unauthenticated(enum.Enum):
    """Why a token is refused. For logs: a client is told "invalid API key", nothing more."""

    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    WRONG_SECRET = "wrong_secret"
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is known of a kid. Nothing in it depends on the secret that was presented."""

    record: KeyRecord
    grant: Grant


class Directory:
    """Authenticates tokens against Redis, or against what it said a moment ago."""

    def __init__(
        self,
        redis: Redis,
        peppers: Peppers,
        *,
        cache_s: float = CACHE_S,
        monotonic: Callable[[], float] = time.monotonic,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self._peppers = peppers
        self._unix_time = unix_time
        self._entries = TTLCache[str, _Entry, float](CACHE_ENTRIES, cache_s, monotonic)
        # Apart, so that invented kids cannot push real ones out.
        self._unknown = TTLCache[str, Unauthenticated, float](
            CACHE_ENTRIES, UNKNOWN_CACHE_S, monotonic
        )
        self._loading = SingleFlight[_Entry | None]()

    async def authenticate(self, token: str) -> Grant | Unauthenticated:
        """The grant of *token*'s bearer.

        A grant may name no project at all: the key is good, its projects are not.
        Raises StoreUnavailable for a key that is not cached: never say that a key
        is bad because Redis is away.
        """
        key = api_key.parse(token)
        if key is None:
            return Unauthenticated.MALFORMED
        entry = self._entries.get(key.kid)
        if entry is None:
            if (unknown := self._unknown.get(key.kid)) is not None:
                return unknown
            entry = await self._loading.fetch(key.kid, lambda: self._load(key.kid))
        if entry is None:
            return Unauthenticated.UNKNOWN
        # Verified every time, cached or not: 2.3 us, and no cache ever holds a secret.
        if not self._peppers.verify(key.secret, entry.record.hashed_secret):
            return Unauthenticated.WRONG_SECRET
        if entry.record.state is KeyState.REVOKED:
            return Unauthenticated.REVOKED
        expires_at = entry.record.expires_at
        if expires_at is not None and self._unix_time() >= expires_at:
            return Unauthenticated.EXPIRED
        return entry.grant

    def invalidate(self, kid: str) -> None:
        """Forget what is cached of *kid*; after `Stale`, before authenticating again."""
        self._entries.pop(kid, None)
        self._unknown.pop(kid, None)

    async def _load(self, kid: str) -> _Entry | None:
        record = await self._read_key(kid)
        if record is None:
            self._unknown[kid] = Unauthenticated.UNKNOWN
            return None
        projects = {}
        for project_id in sorted(record.project_ids):
            project = await self._read_project(project_id)
            if project is not None and project.state is ProjectState.ACTIVE:
                projects[project_id] = project
        # The key once more, after the versions. A revocation writes the key first
        # and then raises the version, so a key read after version v is at least as
        # new as v, and whatever comes later makes v stale. Read in the other order,
        # a revocation between the two reads would be missed for good.
        record = await self._read_key(kid) or record
        principal = Principal(
            kid=kid,
            default_project_id=record.default_project_id,
            projects=frozenset(projects),
        )
        entry = _Entry(record, Grant(principal, projects))
        self._entries[kid] = entry
        return entry

    async def _read_key(self, kid: str) -> KeyRecord | None:
        return read_key(kid, await ask_twice(lambda: self._read_hash(keys.api_key(kid))))

    async def _read_project(self, project_id: str) -> ProjectConfig | None:
        stored = await ask_twice(lambda: self._read_hash(keys.config(project_id)))
        return read_project(project_id, stored)

    async def _read_hash(self, key: str) -> dict[str, str]:
        with store_errors():
            return fields(await self._redis.hgetall(key))
