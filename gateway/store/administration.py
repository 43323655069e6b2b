"""Projects and keys, as an operator changes them.

Every change that a cached grant could contradict raises the version of the
projects it touches, after it is written: see `Directory` for why in that order.
Nothing is ever searched for: what can be listed has an index set.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain

from redis.asyncio import Redis

from gateway.iam import api_key, project_id
from gateway.iam.secret_hash import Peppers, hash_secret
from gateway.quota.limits import Limits, limits_text
from gateway.store import keys
from gateway.store.errors import store_errors
from gateway.store.records import (
    Hash,
    KeyRecord,
    KeyState,
    ProjectConfig,
    ProjectState,
    read_key,
    read_project,
    write_key,
    write_project,
)
from gateway.store.replies import fields, members, text
from gateway.store.scripts import read_script


@dataclass(frozen=True, slots=True)
class ProjectExists:
    """There is a project with this id already; it has not been changed."""

    project_id: str


@dataclass(frozen=True, slots=True)
class UnknownProject:
    """There is no project with this id."""

    project_id: str


@dataclass(frozen=True, slots=True)
class UnknownKey:
    """There is no key with this kid."""

    kid: str


@dataclass(frozen=True, slots=True)
class WrongPepper:
    """The pepper of this version is not the one that was used here before."""

    version: int


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key. The token is nowhere else: show it once, then forget it."""

    token: str = dataclasses.field(repr=False)
    record: KeyRecord


class Administration:
    """Changes and lists projects and keys. Every method raises StoreUnavailable."""

    def __init__(
        self,
        redis: Redis,
        *,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._redis = redis
        self._random_bytes = random_bytes
        self._create_project = redis.register_script(read_script("create_project"))

    async def create_project(
        self, name: str, limits: Limits, *, with_id: str | None = None
    ) -> ProjectConfig | ProjectExists:
        """A new project, active at once. Raises ValueError if *with_id* is no project id."""
        if with_id is None:
            with_id = project_id.mint_project_id(self._random_bytes(project_id.ENTROPY_BYTES))
        elif not project_id.is_project_id(with_id):
            raise ValueError(f"{with_id!r} is no project id: 8 to 64 letters, digits, _ or -")
        project = ProjectConfig(
            project_id=with_id,
            name=name,
            version=1,
            state=ProjectState.ACTIVE,
            limits=limits,
            created_at=await self._now(),
        )
        with store_errors():
            # The index first: an id in it that leads nowhere is skipped, a project
            # that nobody can list would be lost.
            await self._redis.sadd(keys.PROJECTS, with_id)
            stored = chain.from_iterable(write_project(project).items())
            reply = await self._create_project(keys=[keys.config(with_id)], args=stored)
        if text(reply[0]) == "exists":
            return ProjectExists(with_id)
        return project

    async def list_projects(self) -> list[ProjectConfig]:
        """All projects, by id."""
        with store_errors():
            ids = members(await self._redis.smembers(keys.PROJECTS))
        found = [await self.find_project(each) for each in ids]
        return [project for project in found if project is not None]

    async def find_project(self, wanted_id: str) -> ProjectConfig | None:
        """The project, or None; also for what is no project id at all."""
        if not project_id.is_project_id(wanted_id):
            return None
        with store_errors():
            stored = fields(await self._redis.hgetall(keys.config(wanted_id)))
        return read_project(wanted_id, stored)

    async def set_limits(
        self, of_project_id: str, changes: Mapping[str, int | str | None]
    ) -> ProjectConfig | UnknownProject:
        """Change the limits, and their modes, that are named; from the next request on.

        Raises ValueError for a limit that would admit nothing.
        """
        project = await self.find_project(of_project_id)
        if project is None:
            return UnknownProject(of_project_id)
        limits = limits_text(project.limits.changed(changes))
        return await self._change_project(of_project_id, {"limits": limits})

    async def set_state(
        self, of_project_id: str, state: ProjectState
    ) -> ProjectConfig | UnknownProject:
        """Disable a project from its next request on, or serve it again once caches have forgotten.

        Doing it again finishes what an interrupted change has left undone.
        """
        return await self._change_project(of_project_id, {"state": state.value})

    async def _change_project(
        self, of_project_id: str, changed: Hash
    ) -> ProjectConfig | UnknownProject:
        if await self.find_project(of_project_id) is None:
            return UnknownProject(of_project_id)
        config = keys.config(of_project_id)
        with store_errors():
            await self._redis.hset(config, mapping=changed)
            await self._redis.hincrby(config, "ver", 1)
        project = await self.find_project(of_project_id)
        return project or UnknownProject(of_project_id)

    async def create_key(
        self, of_project_id: str, name: str, *, peppers: Peppers, expires_at: int | None = None
    ) -> IssuedKey | UnknownProject | WrongPepper:
        """A new key for one project. *expires_at*: Unix time in seconds; None means never."""
        if await self.find_project(of_project_id) is None:
            return UnknownProject(of_project_id)
        wrong = await self._wrong_pepper(peppers)
        if wrong is not None:
            return wrong
        key = api_key.mint(self._random_bytes(api_key.ENTROPY_BYTES))
        record = KeyRecord(
            kid=key.kid,
            name=name,
            state=KeyState.ACTIVE,
            hashed_secret=peppers.hash(key.secret),
            default_project_id=of_project_id,
            project_ids=frozenset({of_project_id}),
            created_at=await self._now(),
            expires_at=expires_at,
        )
        with store_errors():
            await self._redis.sadd(keys.keys_of_project(of_project_id), key.kid)
            await self._redis.hset(keys.api_key(key.kid), mapping=write_key(record))
        return IssuedKey(key.token, record)

    async def _wrong_pepper(self, peppers: Peppers) -> WrongPepper | None:
        """Compare the pepper of new keys with that of the first key of its version.

        A key made with another one would look well, and be answered 401 for ever.
        """
        version = max(peppers.by_version)
        # 64 bits of an HMAC: enough to notice a mistake, nothing to find a pepper by.
        fingerprint = hash_secret(peppers.by_version[version], "fingerprint")[:8].hex()
        with store_errors():
            await self._redis.hsetnx(keys.PEPPERS, str(version), fingerprint)
            known = await self._redis.hget(keys.PEPPERS, str(version))
        # None: somebody has deleted it in between.
        return None if known is None or text(known) == fingerprint else WrongPepper(version)

    async def list_keys(self, of_project_id: str | None = None) -> list[KeyRecord]:
        """The keys of a project, or of all; revoked ones as well. Oldest first."""
        if of_project_id is None:
            project_ids = [project.project_id for project in await self.list_projects()]
        elif project_id.is_project_id(of_project_id):
            project_ids = [of_project_id]
        else:
            project_ids = []
        kids: set[str] = set()
        for each in project_ids:
            with store_errors():
                kids.update(members(await self._redis.smembers(keys.keys_of_project(each))))
        found = [await self.find_key(kid) for kid in kids]
        return sorted(
            (record for record in found if record is not None),
            key=lambda record: (record.created_at, record.kid),
        )

    async def find_key(self, kid: str) -> KeyRecord | None:
        """The key, or None; also for what is no kid at all."""
        if not api_key.is_kid(kid):
            return None
        with store_errors():
            return read_key(kid, fields(await self._redis.hgetall(keys.api_key(kid))))

    async def revoke_key(self, kid: str) -> KeyRecord | UnknownKey:
        """Refuse this key from the next request on, everywhere. Its record stays.

        Doing it again finishes what an interrupted revocation has left undone.
        """
        record = await self.find_key(kid)
        if record is None:
            return UnknownKey(kid)
        revoked = dataclasses.replace(record, state=KeyState.REVOKED)
        with store_errors():
            await self._redis.hset(keys.api_key(kid), "state", revoked.state.value)
            for each in sorted(revoked.project_ids):
                await self._redis.hincrby(keys.config(each), "ver", 1)
        return revoked

    async def _now(self) -> int:
        """Unix time in seconds, by Redis's clock like everything else that is stored."""
        with store_errors():
            seconds, _ = await self._redis.time()
        return int(seconds)
