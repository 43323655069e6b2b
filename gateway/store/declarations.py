"""Projects, principals, policies and keys that a file declares: compared with what there is.

`plan` says what would have to change, step by step; `carry_out` does one step. Planning again
after all steps finds nothing to do, and an interrupted run is finished by the next one.
What is declared is marked as managed, and the admin API refuses to edit it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Literal

from redis.asyncio import Redis

from gateway.iam.api_key import ApiKey
from gateway.iam.ids import PrincipalKind
from gateway.iam.policy import Policy, rule_to_json
from gateway.iam.secret_hash import Peppers
from gateway.quota.limits import NO_LIMITS, Limits
from gateway.store.administration import Administration, IssuedKey
from gateway.store.policies import Policies
from gateway.store.principals import Principals
from gateway.store.records import (
    KeyRecord,
    KeyState,
    PrincipalRecord,
    PrincipalState,
    ProjectState,
)

Action = Literal["create", "update", "archive", "delete", "revoke", "unchanged", "undeclared"]


@dataclass(frozen=True, slots=True)
class DeclaredProject:
    project_id: str
    name: str
    limits: Limits


@dataclass(frozen=True, slots=True)
class DeclaredKey:
    """Its token comes from elsewhere, a Kubernetes Secret perhaps."""

    key: ApiKey = field(repr=False)
    name: str
    project_id: str
    principal_id: str | None = None  # None: the project's default application
    expires_at: int | None = None  # Unix time, s
    limits: Limits = NO_LIMITS


@dataclass(frozen=True, slots=True)
class DeclaredPrincipal:
    kind: PrincipalKind
    principal_id: str
    name: str
    default_project_id: str | None = None
    issuer: str | None = None
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Declaration:
    """All that one organisation's file says."""

    organisation_id: str
    projects: tuple[DeclaredProject, ...] = ()
    principals: tuple[DeclaredPrincipal, ...] = ()
    policies: tuple[Policy, ...] = ()
    keys: tuple[DeclaredKey, ...] = ()


class CannotDeclare(Exception):
    """A declaration that contradicts what there is; the text says what, and what to do."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change, or that there is none to make."""

    action: Action
    kind: str  # project | application | user | policy | api_key
    id: str
    before: Mapping[str, object] | None = None
    after: Mapping[str, object] | None = None
    project_id: str | None = None
    _work: Callable[[], Awaitable[object]] | None = field(default=None, repr=False)

    @property
    def changes(self) -> bool:
        return self._work is not None

    async def carry_out(self) -> None:
        """Raises StoreUnavailable, CannotDeclare."""
        if self._work is not None:
            await self._work()


class Declarations:
    """Every method raises StoreUnavailable."""

    def __init__(self, redis: Redis, peppers: Peppers) -> None:
        self._peppers = peppers
        self._administration = Administration(redis)
        self._principals = Principals(redis)
        self._policies = Policies(redis)

    async def plan(self, declared: Declaration, *, prune: bool = False) -> list[Step]:
        """In an order in which they can be carried out.

        *prune*: what was declared once and no longer is, is archived, deleted or revoked;
        otherwise it is told as undeclared. Usage and the ledger stay in any case.
        Raises CannotDeclare.
        """
        return [
            *[await self._project(declared, each) for each in declared.projects],
            *[await self._principal(declared, each) for each in declared.principals],
            *[await self._policy(each) for each in declared.policies],
            *[await self._key(declared, each) for each in declared.keys],
            *await self._undeclared(declared, prune),
        ]

    async def _project(self, declared: Declaration, wanted: DeclaredProject) -> Step:
        project_id = wanted.project_id
        after = {"name": wanted.name, "limits": asdict(wanted.limits), "state": "active"}
        found = await self._administration.find_project(project_id)
        if found is None:

            async def create() -> None:
                await self._administration.create_project(
                    wanted.name,
                    wanted.limits,
                    with_id=project_id,
                    organisation_id=declared.organisation_id,
                    managed=True,
                )

            return Step("create", "project", project_id, None, after, project_id, create)
        if found.organisation_id != declared.organisation_id:
            raise CannotDeclare(f"The project id {project_id} is taken; choose another one.")
        before = {
            "name": found.name,
            "limits": asdict(found.limits),
            "state": found.state.value,
        }

        async def change() -> None:
            if found.name != wanted.name:
                await self._administration.rename_project(project_id, wanted.name)
            if found.limits != wanted.limits:
                await self._administration.set_limits(project_id, asdict(wanted.limits))
            if found.state is not ProjectState.ACTIVE:
                await self._administration.set_state(project_id, ProjectState.ACTIVE)
            await self._administration.set_managed(project_id, True)

        return _step("project", project_id, before, after, found.managed, change, project_id)

    async def _principal(self, declared: Declaration, wanted: DeclaredPrincipal) -> Step:
        after = {"name": wanted.name, "default_project_id": wanted.default_project_id}
        found = await self._principals.find_principal(wanted.principal_id)
        if found is None:

            async def create() -> None:
                created = await self._principals.create_principal(
                    wanted.kind,
                    wanted.name,
                    organisation_id=declared.organisation_id,
                    with_id=wanted.principal_id,
                    default_project_id=wanted.default_project_id,
                    issuer=wanted.issuer,
                    subject=wanted.subject,
                    managed=True,
                )
                if not isinstance(created, PrincipalRecord):
                    raise CannotDeclare(f"{wanted.principal_id} cannot be created: {created}.")

            return Step("create", wanted.kind, wanted.principal_id, None, after, None, create)
        if found.organisation_id != declared.organisation_id:
            raise CannotDeclare(f"The id {wanted.principal_id} is taken; choose another one.")
        if found.state is PrincipalState.DELETED:
            raise CannotDeclare(f"{wanted.principal_id} was deleted, and stays so; take a new id.")
        if (found.issuer, found.subject) != (wanted.issuer, wanted.subject):
            raise CannotDeclare(
                f"{wanted.principal_id} has another issuer or subject; those do not change."
            )
        before = {"name": found.name, "default_project_id": found.default_project_id}

        async def change() -> None:
            await self._principals.change_principal(
                wanted.principal_id,
                name=wanted.name,
                default_project_id=wanted.default_project_id,
                managed=True,
            )

        return _step(wanted.kind, wanted.principal_id, before, after, found.managed, change)

    async def _policy(self, wanted: Policy) -> Step:
        wanted = replace(wanted, managed=True)
        found = await self._policies.find_policy(wanted.policy_id)
        if found is not None and found.organisation_id != wanted.organisation_id:
            raise CannotDeclare(f"The id {wanted.policy_id} is taken; choose another one.")

        async def put() -> None:
            answer = await self._policies.put_policy(wanted)
            if not isinstance(answer, Policy):
                raise CannotDeclare(f"The policy {wanted.policy_id} names what is not: {answer}.")

        after = _policy_told(wanted)
        if found is None:
            return Step("create", "policy", wanted.policy_id, None, after, None, put)
        return _step("policy", wanted.policy_id, _policy_told(found), after, found.managed, put)

    async def _key(self, declared: Declaration, wanted: DeclaredKey) -> Step:
        kid = wanted.key.kid
        after: dict[str, object] = {"limits": asdict(wanted.limits)}
        found = await self._administration.find_key(kid)
        if found is None:

            async def create() -> None:
                issued = await self._administration.create_key(
                    wanted.project_id,
                    wanted.name,
                    peppers=self._peppers,
                    expires_at=wanted.expires_at,
                    principal_id=wanted.principal_id,
                    limits=wanted.limits,
                    managed=True,
                    minted=wanted.key,
                )
                if not isinstance(issued, IssuedKey):
                    raise CannotDeclare(f"The key {kid} cannot be made: {issued}.")

            return Step("create", "api_key", kid, None, after, wanted.project_id, create)
        self._check_key(declared, wanted, found)
        before: dict[str, object] = {"limits": asdict(found.limits)}

        async def change() -> None:
            if found.limits != wanted.limits:
                await self._administration.set_key_limits(kid, asdict(wanted.limits))
            await self._administration.set_key_managed(kid, True)

        return _step("api_key", kid, before, after, found.managed, change, wanted.project_id)

    def _check_key(self, declared: Declaration, wanted: DeclaredKey, found: KeyRecord) -> None:
        kid = found.kid
        if found.organisation_id != declared.organisation_id:
            raise CannotDeclare(f"The key {kid} is another organisation's; mint a new token.")
        if found.state is KeyState.REVOKED:
            raise CannotDeclare(f"The key {kid} was revoked, and stays so; mint a new token.")
        if not self._peppers.verify(wanted.key.secret, found.hashed_secret):
            raise CannotDeclare(f"There is a key {kid} with another secret; mint a new token.")
        principal_id = wanted.principal_id or found.principal_id
        if (found.default_project_id, found.principal_id) != (wanted.project_id, principal_id):
            raise CannotDeclare(
                f"The key {kid} is for another project or principal; those do not change."
            )

    async def _undeclared(self, declared: Declaration, prune: bool) -> list[Step]:
        """What a file has declared before, and this one does not. Keys first, projects last."""
        organisation_id = declared.organisation_id
        steps: list[Step] = []

        def left(kind: str, action: Action, id: str, work: Callable[[], Awaitable[object]]) -> None:
            steps.append(
                Step(action, kind, id, _work=work) if prune else Step("undeclared", kind, id)
            )

        kids = {each.key.kid for each in declared.keys}
        for key in await self._administration.list_keys(organisation_id=organisation_id):
            if key.managed and key.state is KeyState.ACTIVE and key.kid not in kids:
                left(
                    "api_key", "revoke", key.kid, partial(self._administration.revoke_key, key.kid)
                )
        policy_ids = {each.policy_id for each in declared.policies}
        for policy in await self._policies.list_policies(organisation_id):
            if policy.managed and policy.policy_id not in policy_ids:
                left(
                    "policy",
                    "delete",
                    policy.policy_id,
                    partial(self._policies.delete_policy, organisation_id, policy.policy_id),
                )
        principal_ids = {each.principal_id for each in declared.principals}
        for principal in await self._principals.list_principals(organisation_id):
            if principal.managed and principal.principal_id not in principal_ids:
                left(
                    principal.kind,
                    "delete",
                    principal.principal_id,
                    partial(self._principals.delete_principal, principal.principal_id),
                )
        project_ids = {each.project_id for each in declared.projects}
        for project in await self._administration.list_projects(organisation_id):
            if (
                project.managed
                and project.state is ProjectState.ACTIVE
                and project.project_id not in project_ids
            ):
                archive = partial(
                    self._administration.set_state, project.project_id, ProjectState.DISABLED
                )
                left("project", "archive", project.project_id, archive)
        return steps


def _step(
    kind: str,
    id: str,
    before: Mapping[str, object],
    after: Mapping[str, object],
    managed: bool,
    work: Callable[[], Awaitable[object]],
    project_id: str | None = None,
) -> Step:
    """An update of what differs, of which it tells only that; or that nothing does."""
    differing = [name for name in after if before.get(name) != after[name]]
    if not differing and managed:
        return Step("unchanged", kind, id, project_id=project_id)
    return Step(
        "update",
        kind,
        id,
        {"managed": managed, **{name: before.get(name) for name in differing}},
        {"managed": True, **{name: after[name] for name in differing}},
        project_id,
        work,
    )


def _policy_told(policy: Policy) -> dict[str, object]:
    return {
        "name": policy.name,
        "principal_ids": sorted(policy.principal_ids),
        "rules": [rule_to_json(each) for each in policy.rules],
    }
