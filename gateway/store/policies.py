"""Policies, as an operator changes them.

A change is done when every gateway decides by it. An interrupted one is finished by saying
it again: what it would have touched is written into the policy (`pending`) together with
the change itself.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from gateway.iam import ids
from gateway.iam.ids import DEFAULT_ORGANISATION
from gateway.iam.policy import Organisation, Policy, Projects, Rule, Scope
from gateway.store import keys
from gateway.store.compilation import Compilation
from gateway.store.errors import store_errors
from gateway.store.hashes import Hashes
from gateway.store.principals import (
    Principals,
    UnknownOrganisation,
    UnknownPrincipal,
    with_id_or_minted,
)
from gateway.store.records import read_policy, write_policy


@dataclass(frozen=True, slots=True)
class UnknownPolicy:
    """There is no policy with this id in the organisation."""

    policy_id: str


@dataclass(frozen=True, slots=True)
class ForeignProject:
    """A policy names a project that its organisation does not have."""

    project_id: str


class Policies:
    """Every method raises StoreUnavailable."""

    def __init__(
        self,
        redis: Redis,
        *,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._redis = redis
        self._random_bytes = random_bytes
        self._hashes = Hashes(redis)
        self._principals = Principals(redis)
        self._compilation = Compilation(redis)

    async def create_policy(
        self,
        name: str,
        *,
        principal_ids: Iterable[str],
        rules: Sequence[Rule],
        organisation_id: str = DEFAULT_ORGANISATION,
        with_id: str | None = None,
        managed: bool = False,
    ) -> Policy | UnknownOrganisation | UnknownPrincipal | ForeignProject:
        """A new policy, or with *with_id* what `put_policy` does. Raises ValueError as Policy does."""
        policy = Policy(
            policy_id=with_id_or_minted("policy", with_id, self._random_bytes),
            name=name,
            organisation_id=organisation_id,
            principal_ids=frozenset(principal_ids),
            rules=tuple(rules),
            managed=managed,
        )
        return await self.put_policy(policy)

    async def put_policy(
        self, policy: Policy
    ) -> Policy | UnknownOrganisation | UnknownPrincipal | ForeignProject:
        """Write a policy whole, new or in place of what it was; it holds from the next request on.

        Saying it again finishes what an interrupted change has left undone. A policy of another
        organisation is not replaced: UnknownOrganisation.
        """
        if await self._principals.organisation(policy.organisation_id) is None:
            return UnknownOrganisation(policy.organisation_id)
        for principal_id in sorted(policy.principal_ids):
            if await self._principals.active(principal_id, policy.organisation_id) is None:
                return UnknownPrincipal(principal_id)
        foreign = await self._foreign_scope(policy)
        if foreign is not None:
            return foreign
        before = await self._hashes.read(keys.policy(policy.policy_id))
        if before and before["org"] != policy.organisation_id:
            return UnknownOrganisation(before["org"])
        pending = _Pending.of(read_policy(policy.policy_id, before), policy)
        pending |= _Pending.read(before.get("pending"))
        index = keys.policies_of_organisation(policy.organisation_id)
        with store_errors():
            await self._redis.sadd(index, policy.policy_id)
            for principal_id in policy.principal_ids:
                await self._redis.sadd(keys.policies_of_principal(principal_id), policy.policy_id)
            await self._redis.hset(
                keys.policy(policy.policy_id),
                mapping={**write_policy(policy), "pending": pending.text},
            )
        await self._finish(policy.policy_id, pending, keeps=policy.principal_ids)
        return policy

    async def delete_policy(self, organisation_id: str, policy_id: str) -> Policy | UnknownPolicy:
        """What only this policy allows, nobody may do from the next request on.

        Doing it again finishes what an interrupted deletion has left undone.
        """
        if not ids.is_id("policy", policy_id):
            return UnknownPolicy(policy_id)
        key = keys.policy(policy_id)
        before = await self._hashes.read(key)
        if not before or before["org"] != organisation_id:
            return UnknownPolicy(policy_id)
        policy = read_policy(policy_id, before)
        pending = _Pending.of(policy) | _Pending.read(before.get("pending"))
        with store_errors():
            await self._redis.hset(key, "pending", pending.text)
            await self._redis.hdel(key, "rules")
        await self._finish(policy_id, pending, keeps=())
        with store_errors():
            await self._redis.srem(keys.policies_of_organisation(organisation_id), policy_id)
            await self._redis.delete(key)
        return policy or Policy(policy_id, before["name"], organisation_id, frozenset(), ())

    async def find_policy(self, policy_id: str) -> Policy | None:
        """The policy, or None; also for what is no id at all."""
        if not ids.is_id("policy", policy_id):
            return None
        return read_policy(policy_id, await self._hashes.read(keys.policy(policy_id)))

    async def list_policies(
        self, organisation_id: str, *, principal_id: str | None = None
    ) -> list[Policy]:
        """Those of an organisation, or of one of its principals, by id."""
        if not ids.is_id("organisation", organisation_id):
            return []
        index = keys.policies_of_organisation(organisation_id)
        found = [await self.find_policy(each) for each in await self._hashes.members(index)]
        return [
            each
            for each in found
            if each is not None and (principal_id is None or principal_id in each.principal_ids)
        ]

    async def _finish(self, policy_id: str, pending: _Pending, *, keeps: Iterable[str]) -> None:
        """From a policy that has been written to requests that are decided by it."""
        kept = set(keeps)
        for principal_id in sorted(pending.principal_ids):
            if principal_id not in kept:
                with store_errors():
                    await self._redis.srem(keys.policies_of_principal(principal_id), policy_id)
            await self._compilation.compile_principal(principal_id)
        await self._compilation.raise_versions(pending.scopes)
        with store_errors():
            await self._redis.hdel(keys.policy(policy_id), "pending")

    async def _foreign_scope(self, policy: Policy) -> UnknownOrganisation | ForeignProject | None:
        """A policy gives what its organisation has, and nothing else."""
        for scope in policy.scopes:
            match scope:
                case Organisation(organisation_id) if organisation_id != policy.organisation_id:
                    return UnknownOrganisation(organisation_id)
                case Projects(project_ids):
                    for each in sorted(project_ids):
                        owner = await self._hashes.field(keys.config(each), "org")
                        if owner != policy.organisation_id:
                            return ForeignProject(each)
        return None


@dataclass(frozen=True, slots=True)
class _Pending:
    """Whom and what a change of a policy concerns, before and after it."""

    principal_ids: frozenset[str]
    scopes: frozenset[Scope]

    @classmethod
    def of(cls, *policies: Policy | None) -> _Pending:
        known = [each for each in policies if each is not None]
        return cls(
            frozenset().union(*(each.principal_ids for each in known)),
            frozenset().union(*(each.scopes for each in known)),
        )

    @classmethod
    def read(cls, stored: str | None) -> _Pending:
        if stored is None:
            return cls(frozenset(), frozenset())
        told = json.loads(stored)
        organisations = {Organisation(each) for each in told["organisations"]}
        projects = {Projects(frozenset({each})) for each in told["projects"]}
        return cls(frozenset(told["principals"]), frozenset(organisations | projects))

    def __or__(self, other: _Pending) -> _Pending:
        return _Pending(self.principal_ids | other.principal_ids, self.scopes | other.scopes)

    @property
    def text(self) -> str:
        projects, organisations = set[str](), set[str]()
        for scope in self.scopes:
            match scope:
                case Projects(project_ids):
                    projects |= project_ids
                case Organisation(organisation_id):
                    organisations.add(organisation_id)
        return json.dumps(
            {
                "principals": sorted(self.principal_ids),
                "projects": sorted(projects),
                "organisations": sorted(organisations),
            }
        )
