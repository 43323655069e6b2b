"""Organisations, and their applications and users, as an operator changes them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from redis.asyncio import Redis

from gateway.iam import ids
from gateway.iam.ids import DEFAULT_ORGANISATION, PrincipalKind
from gateway.iam.policy import Scope
from gateway.store import keys
from gateway.store.compilation import Compilation, scopes_of_key
from gateway.store.errors import store_errors
from gateway.store.hashes import Hashes
from gateway.store.records import (
    Hash,
    OrganisationRecord,
    PrincipalRecord,
    PrincipalState,
    read_organisation,
    read_principal,
    write_organisation,
    write_principal,
)
from gateway.store.replies import text


@dataclass(frozen=True, slots=True)
class UnknownOrganisation:
    """There is no organisation with this id."""

    organisation_id: str


@dataclass(frozen=True, slots=True)
class UnknownPrincipal:
    """There is no application or user with this id in the organisation; or it was deleted."""

    principal_id: str


@dataclass(frozen=True, slots=True)
class IdTaken:
    """There is something with this id already, or with this id of an identity provider."""

    taken: str


class Principals:
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
        self._compilation = Compilation(redis)

    async def create_organisation(
        self, name: str, *, with_id: str | None = None
    ) -> OrganisationRecord | IdTaken:
        """A new organisation. Raises ValueError if *with_id* is no id of one."""
        organisation_id = self._id("organisation", with_id)
        organisation = OrganisationRecord(organisation_id, name, await self._hashes.now())
        with store_errors():
            await self._redis.sadd(keys.ORGANISATIONS, organisation_id)
        stored = write_organisation(organisation)
        if not await self._hashes.create(keys.organisation(organisation_id), stored):
            return IdTaken(organisation_id)
        return organisation

    async def default_organisation(self) -> OrganisationRecord:
        """The one of projects for which nobody names another; made at need."""
        await self.create_organisation("default", with_id=DEFAULT_ORGANISATION)
        organisation = await self.find_organisation(DEFAULT_ORGANISATION)
        assert organisation is not None
        return organisation

    async def find_organisation(self, organisation_id: str) -> OrganisationRecord | None:
        """The organisation, or None; also for what is no id at all."""
        if not ids.is_id("organisation", organisation_id):
            return None
        stored = await self._hashes.read(keys.organisation(organisation_id))
        return read_organisation(organisation_id, stored)

    async def list_organisations(self) -> list[OrganisationRecord]:
        """All organisations, by id."""
        found = [
            await self.find_organisation(each)
            for each in await self._hashes.members(keys.ORGANISATIONS)
        ]
        return [each for each in found if each is not None]

    async def create_principal(
        self,
        kind: PrincipalKind,
        name: str,
        *,
        organisation_id: str = DEFAULT_ORGANISATION,
        with_id: str | None = None,
        default_project_id: str | None = None,
        issuer: str | None = None,
        subject: str | None = None,
        managed: bool = False,
    ) -> PrincipalRecord | UnknownOrganisation | IdTaken:
        """A new application or user, who may do nothing yet.

        *issuer*, *subject*: the identity provider that knows a user, and under which id.
        Raises ValueError if *with_id* is no id of such a principal.
        """
        if await self.organisation(organisation_id) is None:
            return UnknownOrganisation(organisation_id)
        principal = PrincipalRecord(
            principal_id=self._id(kind, with_id),
            name=name,
            organisation_id=organisation_id,
            state=PrincipalState.ACTIVE,
            created_at=await self._hashes.now(),
            default_project_id=default_project_id,
            issuer=issuer,
            subject=subject,
            managed=managed,
        )
        index = keys.principals_of_organisation(organisation_id)
        with store_errors():
            await self._redis.sadd(index, principal.principal_id)
        if issuer is not None and subject is not None:
            known = keys.external(external_digest(issuer, subject))
            with store_errors():
                await self._redis.setnx(known, principal.principal_id)
                claimed = await self._redis.get(known)
            if claimed is None or text(claimed) != principal.principal_id:
                return IdTaken(subject)
        key = keys.principal(principal.principal_id)
        if not await self._hashes.create(key, write_principal(principal)):
            return IdTaken(principal.principal_id)
        return principal

    async def find_principal(self, principal_id: str) -> PrincipalRecord | None:
        """The principal, or None; also for what is no id at all. Deleted ones are found."""
        if ids.principal_kind(principal_id) is None:
            return None
        return read_principal(principal_id, await self._hashes.read(keys.principal(principal_id)))

    async def list_principals(
        self, organisation_id: str, kind: PrincipalKind | None = None
    ) -> list[PrincipalRecord]:
        """Those of an organisation, oldest first; without those that were deleted."""
        if not ids.is_id("organisation", organisation_id):
            return []
        index = keys.principals_of_organisation(organisation_id)
        members = await self._hashes.members(index)
        stored = await self._hashes.read_all([keys.principal(each) for each in members])
        found = [read_principal(each, hash) for each, hash in zip(members, stored, strict=True)]
        return sorted(
            (
                each
                for each in found
                if each is not None
                and each.state is PrincipalState.ACTIVE
                and kind in (None, each.kind)
            ),
            key=lambda each: (each.created_at, each.principal_id),
        )

    async def change_principal(
        self,
        principal_id: str,
        *,
        name: str | None = None,
        default_project_id: str | None = None,
        managed: bool | None = None,
    ) -> PrincipalRecord | UnknownPrincipal:
        """Give it another name, or default project; what is None stays."""
        principal = await self.active(principal_id)
        if principal is None:
            return UnknownPrincipal(principal_id)
        changed: Hash = {}
        if name is not None:
            changed["name"] = name
        if default_project_id is not None:
            changed["default_project"] = default_project_id
        if managed is not None:
            changed["managed"] = "1" if managed else "0"
        if changed:
            with store_errors():
                await self._redis.hset(keys.principal(principal_id), mapping=changed)
        return await self.find_principal(principal_id) or UnknownPrincipal(principal_id)

    async def delete_principal(self, principal_id: str) -> PrincipalRecord | UnknownPrincipal:
        """Revoke all of its keys and refuse its tokens, from the next request on. The record stays.

        Doing it again finishes what an interrupted deletion has left undone.
        """
        principal = await self.find_principal(principal_id)
        if principal is None:
            return UnknownPrincipal(principal_id)
        scopes: set[Scope] = {line.scope for line in principal.lines}
        for kid in await self._compilation.kids_of(principal_id):
            key = await self._compilation.find_key(kid)
            if key is not None:
                scopes |= scopes_of_key(key)
                with store_errors():
                    await self._redis.hset(keys.api_key(kid), "state", "revoked")
        with store_errors():
            await self._redis.hset(
                keys.principal(principal_id), "state", PrincipalState.DELETED.value
            )
        # Its lines stay until all versions are raised: an interrupted deletion needs their scopes.
        await self._compilation.raise_versions(scopes)
        await self._compilation.compile_principal(principal_id)
        return dataclasses.replace(principal, state=PrincipalState.DELETED, lines=())

    async def organisation(self, organisation_id: str) -> OrganisationRecord | None:
        """The organisation; the default one is made at need."""
        if organisation_id == DEFAULT_ORGANISATION:
            return await self.default_organisation()
        return await self.find_organisation(organisation_id)

    async def active(
        self, principal_id: str, organisation_id: str | None = None
    ) -> PrincipalRecord | None:
        """The principal, unless it was deleted, or is not of the organisation that is named."""
        principal = await self.find_principal(principal_id)
        if (
            principal is None
            or principal.state is PrincipalState.DELETED
            or organisation_id not in (None, principal.organisation_id)
        ):
            return None
        return principal

    def _id(self, kind: ids.IdKind, with_id: str | None) -> str:
        return with_id_or_minted(kind, with_id, self._random_bytes)


def with_id_or_minted(
    kind: ids.IdKind, with_id: str | None, random_bytes: Callable[[int], bytes]
) -> str:
    """Raises ValueError if *with_id* is no such id."""
    if with_id is None:
        return ids.mint_id(kind, random_bytes(ids.ENTROPY_BYTES))
    if not ids.is_id(kind, with_id):
        raise ValueError(f"{with_id!r} is no id of {_A[kind]}")
    return with_id


_A = {
    "organisation": "an organisation",
    "application": "an application",
    "user": "a user",
    "policy": "a policy",
}


def external_digest(issuer: str, subject: str) -> str:
    """Under which name a user of an identity provider is found."""
    return hashlib.sha256(json.dumps([issuer, subject]).encode()).hexdigest()
