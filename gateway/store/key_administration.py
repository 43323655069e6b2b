"""API keys, as an operator changes them.

Every change that a cached grant could contradict raises the versions of the projects
where the key may be used, after it is written: see `Directory` for why in that order.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from redis.asyncio import Redis

from gateway.iam import api_key, project_id
from gateway.iam.address import Ranges
from gateway.iam.api_key import ApiKey, KeyKind
from gateway.iam.ids import default_application_of, default_policy_of
from gateway.iam.policy import Policy, Projects, Rule
from gateway.iam.secret_hash import Peppers, hash_secret
from gateway.quota.limits import NO_LIMITS, Limits, limits_text
from gateway.store import keys
from gateway.store.compilation import Compilation, scopes_of_key
from gateway.store.errors import store_errors
from gateway.store.hashes import Hashes
from gateway.store.policies import Policies
from gateway.store.principals import Principals, UnknownPrincipal
from gateway.store.records import (
    KeyRecord,
    KeyState,
    PreviousSecret,
    PrincipalRecord,
    ProjectConfig,
    read_key,
    read_project,
    write_key,
    write_secrets,
)
from gateway.store.replies import text

MAX_OVERLAP_S = 30 * 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class UnknownProject:
    """There is no project with this id."""

    project_id: str


@dataclass(frozen=True, slots=True)
class UnknownKey:
    """There is no key with this kid."""

    kid: str


@dataclass(frozen=True, slots=True)
class RevokedKey:
    """The key was revoked, and stays so."""

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


class KeyAdministration:
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
        self._principals = Principals(redis)
        self._policies = Policies(redis)

    async def create_key(
        self,
        of_project_id: str | None,
        name: str,
        *,
        peppers: Peppers,
        expires_at: int | None = None,
        kind: KeyKind = "tenant",
        principal_id: str | None = None,
        source_cidrs: Ranges | None = None,
        limits: Limits = NO_LIMITS,
        managed: bool = False,
        minted: ApiKey | None = None,
    ) -> IssuedKey | UnknownProject | UnknownPrincipal | WrongPepper:
        """A new key; what it may do is what the policies of its principal say.

        *of_project_id*: what it is for when a request names no project; an admin key needs none.
        *principal_id*: who bears it; without one the default application of the project, which
        may use the models there. *expires_at*: Unix time in seconds; None means never.
        *minted*: a key that nobody has had, of this *kind*, instead of a new one.
        Raises ValueError if neither a project nor a principal is named.
        """
        project = None
        if of_project_id is not None:
            project = await self.find_project(of_project_id)
            if project is None:
                return UnknownProject(of_project_id)
        if principal_id is None:
            if project is None:
                raise ValueError("a key needs a principal, or a project whose default one bears it")
            principal = await self.default_application(project)
        else:
            bearer = await self._principals.active(principal_id)
            if bearer is None:
                return UnknownPrincipal(principal_id)
            principal = bearer
        if project is not None and project.organisation_id != principal.organisation_id:
            return UnknownProject(project.project_id)
        wrong = await self._wrong_pepper(peppers)
        if wrong is not None:
            return wrong
        key = minted or api_key.mint(self._random_bytes(api_key.ENTROPY_BYTES), kind)
        assert key.kind == kind, key
        # In the indexes first: whoever changes a policy meanwhile finds the key there.
        with store_errors():
            await self._redis.sadd(keys.keys_of_principal(principal.principal_id), key.kid)
            if project is not None:
                await self._redis.sadd(keys.keys_of_project(project.project_id), key.kid)
        lines, revision = await self._compilation.compiled(principal.principal_id)
        record = KeyRecord(
            kid=key.kid,
            name=name,
            state=KeyState.ACTIVE,
            hashed_secret=peppers.hash(key.secret),
            principal_id=principal.principal_id,
            organisation_id=principal.organisation_id,
            default_project_id=of_project_id,
            created_at=await self._hashes.now(),
            expires_at=expires_at,
            kind=kind,
            limits=limits,
            source_cidrs=source_cidrs,
            managed=managed,
            lines=lines,
            lines_revision=revision,
        )
        with store_errors():
            await self._redis.hset(keys.api_key(key.kid), mapping=write_key(record))
        if limits != NO_LIMITS:
            await self._place_limits(record)
        # A policy that was changed meanwhile may have looked for this record before it was there.
        if await self._compilation.revision_of(principal.principal_id) != revision:
            await self._compilation.compile_principal(principal.principal_id)
            record = await self.find_key(key.kid) or record
        return IssuedKey(key.token, record)

    async def default_application(self, project: ProjectConfig) -> PrincipalRecord:
        """Who bears the keys of a project for which nobody has named another; made at need."""
        principal_id = default_application_of(project.project_id)
        policy_id = default_policy_of(project.project_id)
        name = f"default of {project.project_id}"
        await self._principals.create_principal(
            "application",
            name,
            organisation_id=project.organisation_id,
            with_id=principal_id,
            default_project_id=project.project_id,
        )
        if await self._policies.find_policy(policy_id) is None:
            scope = Projects(frozenset({project.project_id}))
            rule = Rule(frozenset({"GenerativeApisModelAccess"}), scope)
            bearers = frozenset({principal_id})
            await self._policies.put_policy(
                Policy(policy_id, name, project.organisation_id, bearers, (rule,))
            )
        principal = await self._principals.find_principal(principal_id)
        assert principal is not None, principal_id
        return principal

    async def rotate_key(
        self, kid: str, *, overlap_s: int, peppers: Peppers
    ) -> IssuedKey | UnknownKey | RevokedKey | WrongPepper:
        """A new secret for a key; the one it had works for *overlap_s* seconds more.

        Of two secrets at most: another rotation within that time ends the older one. Raises
        ValueError if *overlap_s* is negative, or longer than MAX_OVERLAP_S.
        """
        if not 0 <= overlap_s <= MAX_OVERLAP_S:
            raise ValueError(f"two secrets overlap by 0 to {MAX_OVERLAP_S} seconds")
        record = await self.find_key(kid)
        if record is None:
            return UnknownKey(kid)
        if record.state is KeyState.REVOKED:
            return RevokedKey(kid)
        if (wrong := await self._wrong_pepper(peppers)) is not None:
            return wrong
        entropy = self._random_bytes(api_key.SECRET_ENTROPY_BYTES)
        key = api_key.renewed(kid, entropy, record.kind)
        rotated = dataclasses.replace(
            record,
            hashed_secret=peppers.hash(key.secret),
            previous=PreviousSecret(record.hashed_secret, await self._hashes.now() + overlap_s),
        )
        with store_errors():
            # These fields alone: a revocation in the same moment must not be undone.
            await self._redis.hset(keys.api_key(kid), mapping=write_secrets(rotated))
        await self._compilation.raise_versions(scopes_of_key(rotated))
        return IssuedKey(key.token, rotated)

    async def revoke_key(self, kid: str) -> KeyRecord | UnknownKey:
        """Refuse this key from the next request on, everywhere. Its record stays.

        Doing it again finishes what an interrupted revocation has left undone.
        """
        record = await self.find_key(kid)
        if record is None:
            return UnknownKey(kid)
        with store_errors():
            await self._redis.hset(keys.api_key(kid), "state", KeyState.REVOKED.value)
        await self._compilation.raise_versions(scopes_of_key(record))
        return dataclasses.replace(record, state=KeyState.REVOKED)

    async def revoke_keys_of(self, principal_id: str) -> list[KeyRecord] | UnknownPrincipal:
        """Revoke all keys that a principal bears; it may get new ones."""
        if await self._principals.find_principal(principal_id) is None:
            return UnknownPrincipal(principal_id)
        revoked = [
            await self.revoke_key(kid) for kid in await self._compilation.kids_of(principal_id)
        ]
        return [each for each in revoked if isinstance(each, KeyRecord)]

    async def set_key_limits(
        self, kid: str, changes: Mapping[str, int | str | None]
    ) -> KeyRecord | UnknownKey:
        """Change the limits of one key that are named, within those of its projects.

        From the next request on. Raises ValueError for a limit that would admit nothing.
        """
        record = await self.find_key(kid)
        if record is None:
            return UnknownKey(kid)
        changed = dataclasses.replace(record, limits=record.limits.changed(changes))
        with store_errors():
            if changed.limits == NO_LIMITS:
                await self._redis.hdel(keys.api_key(kid), "limits")
            else:
                await self._redis.hset(keys.api_key(kid), "limits", limits_text(changed.limits))
        await self._place_limits(changed)
        await self._compilation.raise_versions(scopes_of_key(changed))
        return changed

    async def set_key_managed(self, kid: str, managed: bool) -> None:
        """Whether a file declares it."""
        with store_errors():
            await self._redis.hset(keys.api_key(kid), "managed", "1" if managed else "0")

    async def _place_limits(self, record: KeyRecord) -> None:
        with store_errors():
            # First: whoever creates a project meanwhile finds the key there.
            await self._redis.sadd(
                keys.limited_keys_of_organisation(record.organisation_id), record.kid
            )
        await self._compilation.place_limits(record)

    async def list_keys(
        self,
        of_project_id: str | None = None,
        *,
        principal_id: str | None = None,
        organisation_id: str | None = None,
    ) -> list[KeyRecord]:
        """The keys of a project, of a principal, of an organisation, or all; revoked ones as well.
        Oldest first.

        A project's keys are those that are for it when a request names none.
        """
        if principal_id is not None:
            indexes = [keys.keys_of_principal(principal_id)]
        elif of_project_id is not None:
            indexes = (
                [keys.keys_of_project(of_project_id)]
                if project_id.is_project_id(of_project_id)
                else []
            )
        else:
            organisations = (
                await self._hashes.members(keys.ORGANISATIONS)
                if organisation_id is None
                else [organisation_id]
            )
            indexes = [
                keys.keys_of_principal(each)
                for organisation in organisations
                for each in await self._hashes.members(
                    keys.principals_of_organisation(organisation)
                )
            ]
        kids = {kid for index in indexes for kid in await self._hashes.members(index)}
        ordered = sorted(kids)
        stored = await self._hashes.read_all([keys.api_key(kid) for kid in ordered])
        found = [read_key(kid, fields) for kid, fields in zip(ordered, stored, strict=True)]
        return sorted(
            (record for record in found if record is not None),
            key=lambda record: (record.created_at, record.kid),
        )

    async def find_key(self, kid: str) -> KeyRecord | None:
        """The key, or None; also for what is no kid at all."""
        return await self._compilation.find_key(kid) if api_key.is_kid(kid) else None

    async def find_project(self, wanted_id: str) -> ProjectConfig | None:
        """The project, or None; also for what is no project id at all."""
        if not project_id.is_project_id(wanted_id):
            return None
        return read_project(wanted_id, await self._hashes.read(keys.config(wanted_id)))

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
