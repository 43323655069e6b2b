"""Who bears this token, and what may they do: keys, principals and projects, cached.

The cache may be late, never wrong for long: `RedisLedger.reserve` compares the config
version of the project it is given, and so does `rate_limits_if_current` for requests that
reserve nothing. `Stale` means reload and ask again. So a revoked key stops working with
its next request, on every gateway, and no message has to reach them.

When Redis does not answer, what was known an hour ago is good enough for a key that was
known: its conditions and its expiry are evaluated all the same. A key that was never seen
is not called bad then: StoreUnavailable.

Nobody can make Redis work by sending wrong keys: junk is refused by its checksum, unknown
keys are remembered, their senders are looked up less and less, and never more than
LOADS_PER_S records are loaded in a second.
"""

from __future__ import annotations

import enum
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import anyio
from cachetools import TTLCache
from redis.asyncio import Redis

from gateway.iam.address import Address
from gateway.iam.api_key import ApiKey
from gateway.iam.decision import Grant
from gateway.iam.providers import External
from gateway.iam.secret_hash import Peppers
from gateway.quota.limits import NO_LIMITS
from gateway.store import keys
from gateway.store.errors import StoreUnavailable, ask_twice, store_errors
from gateway.store.guard import Guard, Unguarded
from gateway.store.local_mode import KnownLimits
from gateway.store.principals import external_digest
from gateway.store.records import (
    KeyRecord,
    KeyState,
    PrincipalRecord,
    PrincipalState,
    ProjectConfig,
    ProjectState,
    read_key,
    read_principal,
    read_project,
)
from gateway.store.replies import fields, text
from gateway.store.single_flight import SingleFlight
from gateway.store.turns import FailedAttempts, Turns

# Versions make a cached grant fresh; this bounds what a lost version could do.
CACHE_S = 60.0
# A project that was refused may have been enabled, and a denied caller allowed: nothing
# that they ask for compares versions.
REFUSED_CACHE_S = 10.0
UNKNOWN_CACHE_S = 5.0
CACHE_ENTRIES = 10_000
STALE_S = 3600.0

LOADS_PER_S = 50.0
LOADS_BURST = 100
LOADS_MAX_WAIT_S = 1.0
# With a stale grant at hand, nobody waits longer for a fresh one, nor tries again sooner.
RELOAD_TIMEOUT_S = 0.1
# For all that is read of a bearer together.
LOAD_PATIENCE_S = 0.1
RELOAD_PAUSE_S = 1.0
# A secret that is wrong by what is cached may be that of a rotation a moment ago: looked up
# again, once in so long.
SECRET_RELOAD_S = 1.0
_ANEW = -1.0  # as max_age_s: whatever is cached is too old

# Under which name a bearer is found: a kid, a principal's id, or the digest of an id that an
# identity provider has for a user.
_Name = tuple[Literal["key", "principal", "external"], str]


class Unauthenticated(enum.Enum):
    """Why a token is refused. For logs: a client is told "invalid API key", nothing more."""

    MALFORMED = "malformed"
    WRONG_KIND = "wrong_kind"
    UNKNOWN = "unknown"
    WRONG_SECRET = "wrong_secret"
    REVOKED = "revoked"
    EXPIRED = "expired"
    WRONG_SOURCE = "wrong_source"
    BAD_TOKEN = "bad_token"  # of an identity provider; `oidc.py` says what is wrong


@dataclass(frozen=True, slots=True)
class Throttled:
    """Too many wrong keys have come from there: this one is not looked up."""

    retry_after_s: float


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whoever has shown that they are. Made here, after the proof, and nowhere else."""

    kid: str  # of the key; with a token of an identity provider, the principal's id
    principal_id: str
    organisation_id: str
    grant: Grant
    project_id: str | None  # that was asked for, or the default one
    project: ProjectConfig | None  # None: there is none, or it is not active
    is_stale: bool = False  # Redis did not answer
    _name: _Name = field(default=("key", ""), repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is known of a bearer and one project. Nothing in it depends on the secret presented."""

    record: KeyRecord | PrincipalRecord
    bearer: Bearer
    loaded_at: float
    fresh_until: float


class Directory:
    """Authenticates against Redis, or against what it said a moment ago."""

    def __init__(
        self,
        redis: Redis,
        peppers: Peppers,
        *,
        cache_s: float = CACHE_S,
        stale_s: float = STALE_S,
        guard: Guard | None = None,
        on_used: Callable[[str], None] = lambda kid: None,
        monotonic: Callable[[], float] = time.monotonic,
        unix_time: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """*on_used* is told of every key that was let in; *stale_s*: for how long what was
        known of a key lets it in while Redis is away; *guard*: whether it is of use to ask."""
        self._redis = redis
        self._peppers = peppers
        self._cache_s = cache_s
        self._on_used = on_used
        self._guard = guard or Unguarded()
        # Of bearers and projects that were let in: what a gateway admits by without Redis.
        self._limits = TTLCache[tuple[str, str], KnownLimits, float](
            CACHE_ENTRIES, max(cache_s, stale_s), monotonic
        )
        self._monotonic = monotonic
        self._unix_time = unix_time
        self._jitter = jitter
        # By bearer and the project it asked for.
        self._entries = TTLCache[tuple[_Name, str | None], _Entry, float](
            CACHE_ENTRIES, max(cache_s, stale_s), monotonic
        )
        # Apart, so that invented kids and projects cannot push real ones out.
        self._unknown = TTLCache[_Name, None, float](CACHE_ENTRIES, UNKNOWN_CACHE_S, monotonic)
        self._refused = TTLCache[tuple[_Name, str | None], _Entry, float](
            CACHE_ENTRIES, min(cache_s, REFUSED_CACHE_S), monotonic
        )
        self._paused = TTLCache[tuple[_Name, str | None], None, float](
            CACHE_ENTRIES, RELOAD_PAUSE_S, monotonic
        )
        self._looked_again = TTLCache[str, None, float](CACHE_ENTRIES, SECRET_RELOAD_S, monotonic)
        # What an unknown key is compared with.
        self._no_secret = peppers.hash("")
        # Each apart: a client that has missed a rotation must not shut out its neighbours.
        self._unknown_keys = FailedAttempts(monotonic=monotonic)  # by source
        self._wrong_secrets = FailedAttempts(monotonic=monotonic)  # by source
        self._wrong_projects = FailedAttempts(monotonic=monotonic)  # by bearer
        self._turns = Turns(
            per_s=LOADS_PER_S, burst=LOADS_BURST, max_wait_s=LOADS_MAX_WAIT_S, monotonic=monotonic
        )
        self._loading = SingleFlight[_Entry | None]()

    async def authenticate(
        self,
        key: ApiKey,
        project_id: str | None = None,
        *,
        address: Address | None = None,
        source: str = "",
        max_age_s: float | None = None,
    ) -> Bearer | Unauthenticated | Throttled:
        """The bearer of *key*, who asks for a project, or for the key's default one.

        *source*: whom to count wrong keys against. *max_age_s*: what is cached may be no older.
        Raises StoreUnavailable for a key that is not cached: never say that a key is bad
        because Redis is away.
        """
        entry = await self._entry(("key", key.kid), project_id, source, max_age_s)
        if isinstance(entry, Throttled):
            return entry
        if entry is None:
            # The same work as for a known one.
            self._peppers.verify(key.secret, self._no_secret)
            return Unauthenticated.UNKNOWN
        record = entry.record
        assert isinstance(record, KeyRecord)
        # Verified every time, cached or not: 1 us, and no cache ever holds a secret.
        if not self._knows(key, record):
            if key.kid in self._looked_again or self._wrong_secrets.wait_s(source) > 0:
                return Unauthenticated.WRONG_SECRET
            self._looked_again[key.kid] = None
            self._wrong_secrets.note(source)
            return await self.authenticate(
                key, project_id, address=address, source=source, max_age_s=_ANEW
            )
        if record.state is KeyState.REVOKED:
            return Unauthenticated.REVOKED
        if record.expires_at is not None and self._unix_time() >= record.expires_at:
            return Unauthenticated.EXPIRED
        if record.source_cidrs is not None and (
            address is None or address not in record.source_cidrs
        ):
            return Unauthenticated.WRONG_SOURCE
        self._on_used(key.kid)
        return self._told(entry)

    async def authenticate_external(
        self,
        external: External,
        project_id: str | None = None,
        *,
        source: str = "",
        max_age_s: float | None = None,
    ) -> Bearer | Unauthenticated | Throttled:
        """The principal that a verified token names. As `authenticate`."""
        if self._unix_time() >= external.expires_at:
            return Unauthenticated.EXPIRED
        name: _Name = (
            ("external", external_digest(external.issuer, external.subject))
            if external.principal_id is None
            else ("principal", external.principal_id)
        )
        entry = await self._entry(name, project_id, source, max_age_s)
        if isinstance(entry, Throttled):
            return entry
        if entry is None:
            return Unauthenticated.UNKNOWN
        record = entry.record
        assert isinstance(record, PrincipalRecord)
        if record.state is PrincipalState.DELETED:
            return Unauthenticated.REVOKED
        return self._told(entry)

    def invalidate(self, bearer: Bearer) -> None:
        """Forget what is cached of a bearer; after `Stale`, before authenticating again.

        Not even while Redis is away is it used again: what is known to be wrong is not stale.
        """
        for project_id in (None, bearer.project_id):
            self._entries.pop((bearer._name, project_id), None)
            self._refused.pop((bearer._name, project_id), None)

    def _knows(self, key: ApiKey, record: KeyRecord) -> bool:
        """Whether it is the key's secret, or the one before while a rotation lasts."""
        if record.kind != key.kind:
            return self._peppers.verify(key.secret, self._no_secret)
        if self._peppers.verify(key.secret, record.hashed_secret):
            return True
        previous = record.previous
        return (
            previous is not None
            and self._unix_time() < previous.until
            and self._peppers.verify(key.secret, previous.hashed_secret)
        )

    def _age_s(self, entry: _Entry) -> float:
        return self._monotonic() - entry.loaded_at

    def _told(self, entry: _Entry) -> Bearer:
        is_stale = self._monotonic() >= entry.fresh_until
        return replace(entry.bearer, is_stale=True) if is_stale else entry.bearer

    async def _entry(
        self, name: _Name, project_id: str | None, source: str, max_age_s: float | None
    ) -> _Entry | Throttled | None:
        asked = (name, project_id)
        cached = self._entries.get(asked) or self._refused.get(asked) or self._elsewhere(asked)
        if cached is None:
            if name in self._unknown:
                return None
            bearer = " ".join(name)
            wait_s = max(self._unknown_keys.wait_s(source), self._wrong_projects.wait_s(bearer))
            if wait_s > 0:
                return Throttled(wait_s)
            loaded = await self._fetched(name, project_id)
            if loaded is None:
                self._unknown_keys.note(source)
            elif loaded.bearer.project is None and project_id is not None:
                self._wrong_projects.note(bearer)
            return loaded
        is_fresh = self._monotonic() < cached.fresh_until
        is_young = max_age_s is None or self._age_s(cached) <= max_age_s
        if (is_fresh and is_young) or asked in self._paused:
            return cached
        try:
            with anyio.fail_after(RELOAD_TIMEOUT_S):
                return await self._fetched(name, project_id)
        # TimeoutError: it has waited for its turn.
        except (StoreUnavailable, TimeoutError):
            self._paused[asked] = None
            return cached

    def _elsewhere(self, asked: tuple[_Name, str | None]) -> _Entry | None:
        """What is known of a bearer who asks for a project that none of its policies names."""
        name, project_id = asked
        home = self._entries.get((name, None))
        if home is None or project_id is None or home.bearer.grant.may_concern(project_id):
            return None
        return replace(home, bearer=replace(home.bearer, project_id=project_id, project=None))

    async def _fetched(self, name: _Name, project_id: str | None) -> _Entry | None:
        flight = f"{name} {project_id}"
        return await self._loading.fetch(flight, lambda: self._load(name, project_id))

    def limits_of(self, project_id: str, kid: str) -> KnownLimits | None:
        """As they were when they were read last; None if they never were."""
        return self._limits.get((project_id, kid))

    async def _load(self, name: _Name, project_id: str | None) -> _Entry | None:
        if self._guard.is_open:
            raise StoreUnavailable("Redis is away: nobody asks it until it answers again")
        await self._turns.take()
        with self._guard.call(LOAD_PATIENCE_S):
            return await self._read_entry(name, project_id)

    async def _read_entry(self, name: _Name, project_id: str | None) -> _Entry | None:
        asked = (name, project_id)
        record = await self._read(name)
        if record is None:
            self._unknown[name] = None
            self._entries.pop(asked, None)
            self._refused.pop(asked, None)
            return None
        wanted = project_id or record.default_project_id
        project = None
        if wanted is not None and _grant(record).may_concern(wanted):
            project = await self._read_project(wanted)
            # The record once more, after the version. A revocation writes the key first and
            # then raises the version, so a key read after version v is at least as new as
            # v, and whatever comes later makes v stale. Read in the other order, a
            # revocation between the two reads would be missed for good.
            record = await self._read(name) or record
        if project is not None and (
            project.state is not ProjectState.ACTIVE
            or project.organisation_id != record.organisation_id
        ):
            project = None
        bearer = Bearer(
            kid=record.kid if isinstance(record, KeyRecord) else record.principal_id,
            principal_id=record.principal_id,
            organisation_id=record.organisation_id,
            grant=_grant(record),
            project_id=wanted,
            project=project,
            _name=name,
        )
        now = self._monotonic()
        # Jittered, so that what was loaded at once is not loaded again at once.
        cache_s = self._cache_s if project is not None else min(self._cache_s, REFUSED_CACHE_S)
        entry = _Entry(record, bearer, now, now + cache_s * (1 - 0.2 * self._jitter()))
        (among, other) = (self._entries, self._refused)
        if project is None and project_id is not None:
            among, other = other, among
        among[asked] = entry
        other.pop(asked, None)
        if project is not None:
            own = record.limits if isinstance(record, KeyRecord) else NO_LIMITS
            self._limits[project.project_id, bearer.kid] = KnownLimits(project.limits, own)
        return entry

    async def _read(self, name: _Name) -> KeyRecord | PrincipalRecord | None:
        kind, principal_id = name
        if kind == "key":
            return read_key(name[1], await self._read_hash(keys.api_key(name[1])))
        if kind == "external":
            found = await ask_twice(lambda: self._read_text(keys.external(name[1])))
            if found is None:
                return None
            principal_id = found
        return read_principal(principal_id, await self._read_hash(keys.principal(principal_id)))

    async def _read_project(self, project_id: str) -> ProjectConfig | None:
        return read_project(project_id, await self._read_hash(keys.config(project_id)))

    async def _read_hash(self, key: str) -> dict[str, str]:
        return await ask_twice(lambda: self._ask_hash(key))

    async def _ask_hash(self, key: str) -> dict[str, str]:
        with store_errors():
            return fields(await self._redis.hgetall(key))

    async def _read_text(self, key: str) -> str | None:
        with store_errors():
            found = await self._redis.get(key)
        return None if found is None else text(found)


def _grant(record: KeyRecord | PrincipalRecord) -> Grant:
    return Grant(record.organisation_id, record.lines)
