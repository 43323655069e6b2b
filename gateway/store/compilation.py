"""Compile policies into the records that authentication reads; make gateways read them again.

What a principal may do is written into its own record and into those of its keys, so
that a cold authentication reads one key, however many policies there are. Whoever
changes a policy compiles its principals anew and raises the versions of all projects
in the old and the new scope: in that order, see `Directory`.
"""

from __future__ import annotations

from collections.abc import Iterable

from redis.asyncio import Redis

from gateway.iam.policy import (
    Line,
    Organisation,
    Policy,
    Projects,
    Scope,
    compile_lines,
    lines_text,
)
from gateway.quota.limits import NO_LIMITS, limits_text
from gateway.store import keys
from gateway.store.errors import store_errors
from gateway.store.records import (
    KeyRecord,
    PrincipalState,
    read_key,
    read_policy,
    read_principal,
)
from gateway.store.replies import fields, members
from gateway.store.scripts import read_script


class Compilation:
    """Every method raises StoreUnavailable; every one may be said again."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._write_lines = redis.register_script(read_script("write_lines"))
        self._raise_version = redis.register_script(read_script("raise_version"))

    async def compile_principal(self, principal_id: str) -> None:
        """Write what a principal may do into its record and those of its keys."""
        with store_errors():
            # After the change, before the policies are read: write_lines.lua says why.
            revision = await self._redis.hincrby(keys.principal(principal_id), "rev", 1)
        lines = await self._lines_of(principal_id)
        kids = await self.kids_of(principal_id)
        record_keys = [keys.principal(principal_id), *(keys.api_key(kid) for kid in kids)]
        for key in record_keys:
            with store_errors():
                await self._write_lines(keys=[key], args=[revision, lines_text(lines)])
        for kid in kids:
            if (record := await self.find_key(kid)) is not None and record.limits != NO_LIMITS:
                await self.place_limits(record)

    async def compiled(self, principal_id: str) -> tuple[tuple[Line, ...], int]:
        """What a principal may do now, and its revision, for a key that is about to be written."""
        with store_errors():
            revision = await self._redis.hget(keys.principal(principal_id), "rev")
        return await self._lines_of(principal_id), int(revision or 0)

    async def revision_of(self, principal_id: str) -> int:
        """Raised by every change of its policies."""
        with store_errors():
            return int(await self._redis.hget(keys.principal(principal_id), "rev") or 0)

    async def raise_versions(self, scopes: Iterable[Scope]) -> None:
        """Have all gateways look again at whatever concerns these projects."""
        for project_id in sorted(await self.projects_in(scopes)):
            with store_errors():
                await self._raise_version(keys=[keys.config(project_id)])

    async def projects_in(self, scopes: Iterable[Scope]) -> set[str]:
        """The ids of the projects that there are now; of single ones, whether there are or not."""
        found: set[str] = set()
        for scope in scopes:
            match scope:
                case Projects(project_ids):
                    found |= project_ids
                case Organisation(organisation_id):
                    index = keys.projects_of_organisation(organisation_id)
                    with store_errors():
                        found.update(members(await self._redis.smembers(index)))
        return found

    async def place_limits(self, key: KeyRecord) -> None:
        """Write a key's own limits where reserve.lua looks for them: into each of its projects."""
        for project_id in await self.projects_in(scopes_of_key(key)):
            config, field = keys.config(project_id), f"k:{key.kid}"
            with store_errors():
                if not await self._redis.exists(config):
                    continue
                if key.limits == NO_LIMITS:
                    await self._redis.hdel(config, field)
                else:
                    await self._redis.hset(config, field, limits_text(key.limits))

    async def kids_of(self, principal_id: str) -> list[str]:
        """All of its keys, revoked ones as well."""
        with store_errors():
            return members(await self._redis.smembers(keys.keys_of_principal(principal_id)))

    async def find_key(self, kid: str) -> KeyRecord | None:
        with store_errors():
            return read_key(kid, fields(await self._redis.hgetall(keys.api_key(kid))))

    async def _lines_of(self, principal_id: str) -> tuple[Line, ...]:
        with store_errors():
            stored = fields(await self._redis.hgetall(keys.principal(principal_id)))
            ids = members(await self._redis.smembers(keys.policies_of_principal(principal_id)))
        principal = read_principal(principal_id, stored)
        if principal is None or principal.state is PrincipalState.DELETED:
            return ()
        policies: list[Policy] = []
        for policy_id in ids:
            with store_errors():
                stored = fields(await self._redis.hgetall(keys.policy(policy_id)))
            policy = read_policy(policy_id, stored)
            # The index may hold more, for it is written first.
            if policy is not None and principal_id in policy.principal_ids:
                policies.append(policy)
        return compile_lines(policies)


def scopes_of_key(key: KeyRecord) -> set[Scope]:
    """Where a key may be used, and where it was meant to be."""
    scopes = {line.scope for line in key.lines}
    if key.default_project_id is not None:
        scopes.add(Projects(frozenset({key.default_project_id})))
    return scopes
