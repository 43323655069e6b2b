"""API keys: issued, rotated, limited, revoked. A token is told once, when it is made.

Who may change the IAM of one project only may issue keys that can do nothing elsewhere: a key
can do what its principal can, and with its token so can whoever has issued it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Never, assert_never

from starlette.responses import Response

from gateway.asgi.admin.bodies import CreateAdminKey, CreateKey, LimitsBody, RotateKey
from gateway.asgi.admin.call import AdminCall, refuse_managed
from gateway.asgi.admin.listing import listed, page_of
from gateway.asgi.admin.objects import Json, key_object
from gateway.asgi.answers import json_answer
from gateway.asgi.standings import limits_changes
from gateway.iam import api_key
from gateway.iam.address import Ranges
from gateway.iam.policy import Projects
from gateway.iam.secret_hash import Peppers
from gateway.quota.limits import NO_LIMITS
from gateway.responses import administration_errors
from gateway.store.administration import (
    Administration,
    IssuedKey,
    RevokedKey,
    UnknownKey,
    UnknownPrincipal,
    UnknownProject,
    WrongPepper,
)
from gateway.store.principals import Principals
from gateway.store.records import KeyRecord, KeyState, PrincipalRecord, ProjectConfig


class ApiKeyEndpoints:
    """Those of a project, then those of the admin API."""

    def __init__(
        self, administration: Administration, principals: Principals, peppers: Peppers
    ) -> None:
        self._administration = administration
        self._principals = principals
        self._peppers = peppers

    async def list(self, call: AdminCall) -> Response:
        """Oldest first; revoked ones as well."""
        project = await call.project("iam:read")
        records = [
            each
            for each in await self._administration.list_keys(project.project_id)
            if each.kind == "tenant"
        ]
        return await self._paged(call, records)

    async def create(self, call: AdminCall) -> Response:
        project = await call.project("iam:write")
        wanted = await call.body(CreateKey)
        expires_at, ranges = _future(wanted.expires_at), read_ranges(wanted.source_cidrs)
        if wanted.principal_id is None:
            principal = await self._administration.default_application(project)
        else:
            principal = await self._principal(call, wanted.principal_id)
        if not _stays_within(principal, project):
            call.require("iam:write")
        if wanted.limits.changes:
            call.require("quota:write", project.project_id)
        limits = NO_LIMITS.changed(wanted.limits.changes)
        key = api_key.mint(os.urandom(api_key.ENTROPY_BYTES))
        await call.log(
            "api_key.created",
            key.kid,
            project_id=project.project_id,
            after={
                "name": wanted.name,
                "principal_id": principal.principal_id,
                "expires_at": wanted.expires_at,
                "source_cidrs": wanted.source_cidrs,
                "limits": wanted.limits.changes,
            },
        )
        created = await self._administration.create_key(
            project.project_id,
            wanted.name,
            peppers=self._peppers,
            expires_at=expires_at,
            principal_id=principal.principal_id,
            source_cidrs=ranges,
            limits=limits,
            minted=key,
        )
        return await self._issued(created)

    async def retrieve(self, call: AdminCall) -> Response:
        project = await call.project("iam:read")
        return json_answer(await self._told(await self._key(call, project)))

    async def rotate(self, call: AdminCall) -> Response:
        """A new token; the old one works for `overlap_seconds` more."""
        project = await call.project("iam:write")
        key = await self._key(call, project)
        principal = await self._principal(call, key.principal_id)
        if not _stays_within(principal, project):
            call.require("iam:write")
        return await self._rotated(call, key)

    async def set_limits(self, call: AdminCall) -> Response:
        project = await call.project("quota:write")
        key = await self._key(call, project)
        wanted = await call.body(LimitsBody)
        refuse_managed(key, "API key", key.kid)
        before, after = limits_changes(key.limits, wanted.changes)
        await call.log(
            "api_key.updated",
            key.kid,
            project_id=project.project_id,
            before=before,
            after=after,
        )
        return await self._changed(
            await self._administration.set_key_limits(key.kid, wanted.changes)
        )

    async def revoke(self, call: AdminCall) -> Response:
        """It is refused from its next request on; its record stays."""
        project = await call.project("iam:write")
        key = await self._key(call, project)
        return await self._changed(await self._revoked(call, key))

    async def delete(self, call: AdminCall) -> Response:
        """The same, in OpenAI's words."""
        project = await call.project("iam:write")
        key = await self._key(call, project)
        await self._revoked(call, key)
        return _deleted("organization.project.api_key.deleted", key.kid)

    async def list_admin_keys(self, call: AdminCall) -> Response:
        call.require("iam:read")
        records = [
            each
            for each in await self._administration.list_keys(organisation_id=call.organisation_id)
            if each.kind == "admin"
        ]
        return await self._paged(call, records)

    async def create_admin_key(self, call: AdminCall) -> Response:
        call.require("iam:write")
        wanted = await call.body(CreateAdminKey)
        expires_at, ranges = _future(wanted.expires_at), read_ranges(wanted.source_cidrs)
        principal = await self._principal(call, wanted.principal_id)
        key = api_key.mint(os.urandom(api_key.ENTROPY_BYTES), "admin")
        await call.log(
            "api_key.created",
            key.kid,
            after={
                "name": wanted.name,
                "kind": "admin",
                "principal_id": principal.principal_id,
                "expires_at": wanted.expires_at,
                "source_cidrs": wanted.source_cidrs,
            },
        )
        created = await self._administration.create_key(
            None,
            wanted.name,
            peppers=self._peppers,
            expires_at=expires_at,
            kind="admin",
            principal_id=principal.principal_id,
            source_cidrs=ranges,
            minted=key,
        )
        return await self._issued(created)

    async def rotate_admin_key(self, call: AdminCall) -> Response:
        call.require("iam:write")
        return await self._rotated(call, await self._admin_key(call))

    async def delete_admin_key(self, call: AdminCall) -> Response:
        call.require("iam:write")
        key = await self._admin_key(call)
        await self._revoked(call, key)
        return _deleted("organization.admin_api_key.deleted", key.kid)

    async def find(self, call: AdminCall) -> Response:
        """A key by its kid alone, as ledgers and logs name it."""
        kid = call.request.path_params["kid"]
        key = await self._administration.find_key(kid)
        if key is None or key.organisation_id != call.organisation_id:
            call.require("iam:read")
            raise administration_errors.no_such("API key", kid)
        call.require("iam:read", key.default_project_id)
        return json_answer(await self._told(key))

    async def _key(self, call: AdminCall, project: ProjectConfig) -> KeyRecord:
        kid = call.request.path_params["kid"]
        key = await self._administration.find_key(kid)
        if key is None or key.kind != "tenant" or key.default_project_id != project.project_id:
            raise administration_errors.no_such("API key", kid)
        return key

    async def _admin_key(self, call: AdminCall) -> KeyRecord:
        kid = call.request.path_params["kid"]
        key = await self._administration.find_key(kid)
        if key is None or key.kind != "admin" or key.organisation_id != call.organisation_id:
            raise administration_errors.no_such("API key", kid)
        return key

    async def _principal(self, call: AdminCall, principal_id: str) -> PrincipalRecord:
        principal = await self._principals.active(principal_id, call.organisation_id)
        if principal is None:
            raise administration_errors.no_such("principal", principal_id)
        return principal

    async def _rotated(self, call: AdminCall, key: KeyRecord) -> Response:
        wanted = await call.body(RotateKey)
        refuse_managed(key, "API key", key.kid)
        if key.state is KeyState.REVOKED:
            raise administration_errors.revoked_key(key.kid)
        await call.log(
            "api_key.rotated",
            key.kid,
            project_id=key.default_project_id,
            after={"overlap_seconds": wanted.overlap_seconds},
        )
        return await self._issued(
            await self._administration.rotate_key(
                key.kid, overlap_s=wanted.overlap_seconds, peppers=self._peppers
            )
        )

    async def _revoked(self, call: AdminCall, key: KeyRecord) -> KeyRecord | UnknownKey:
        refuse_managed(key, "API key", key.kid)
        await call.log(
            "api_key.deleted",
            key.kid,
            project_id=key.default_project_id,
            before={"name": key.name, "state": key.state.value},
            after={"state": "revoked"},
        )
        return await self._administration.revoke_key(key.kid)

    async def _paged(self, call: AdminCall, records: Sequence[KeyRecord]) -> Response:
        shown, has_more = page_of(call.request, records, lambda key: key.kid)
        owners = {
            each: await self._principals.find_principal(each)
            for each in {key.principal_id for key in shown}
        }
        now = int(time.time())
        return listed(
            [key_object(key, owners[key.principal_id], now=now) for key in shown],
            ids=[key.kid for key in shown],
            has_more=has_more,
        )

    async def _told(self, key: KeyRecord) -> Json:
        owner = await self._principals.find_principal(key.principal_id)
        return key_object(key, owner, now=int(time.time()))

    async def _issued(
        self,
        answer: IssuedKey
        | UnknownProject
        | UnknownPrincipal
        | UnknownKey
        | RevokedKey
        | WrongPepper,
    ) -> Response:
        if not isinstance(answer, IssuedKey):
            refuse_key(answer)
        told = {**await self._told(answer.record), "value": answer.token}
        # Neither a browser nor a proxy may keep it.
        return json_answer(told, headers={"cache-control": "no-store"})

    async def _changed(self, answer: KeyRecord | UnknownKey) -> Response:
        if not isinstance(answer, KeyRecord):
            refuse_key(answer)
        return json_answer(await self._told(answer))


def read_ranges(texts: list[str] | None) -> Ranges | None:
    """Raises ApiError: 400, naming the range."""
    if texts is None:
        return None
    try:
        return Ranges.read(texts)
    except ValueError as exc:
        raise administration_errors.invalid_value("source_cidrs", f"{exc}.") from exc


def refuse_key(
    refused: UnknownProject | UnknownPrincipal | UnknownKey | RevokedKey | WrongPepper,
) -> Never:
    """Raises ApiError."""
    match refused:
        case UnknownProject(project_id):
            raise administration_errors.no_such("project", project_id)
        case UnknownPrincipal(principal_id):
            raise administration_errors.no_such("principal", principal_id)
        case UnknownKey(kid):
            raise administration_errors.no_such("API key", kid)
        case RevokedKey(kid):
            raise administration_errors.revoked_key(kid)
        case WrongPepper(version):
            raise administration_errors.wrong_pepper(version)
        case never:
            assert_never(never)


def _stays_within(principal: PrincipalRecord, project: ProjectConfig) -> bool:
    return all(line.scope == Projects(frozenset({project.project_id})) for line in principal.lines)


def _future(expires_at: int | None) -> int | None:
    if expires_at is not None and expires_at <= time.time():
        raise administration_errors.invalid_value(
            "expires_at", "it must be in the future, in Unix seconds."
        )
    return expires_at


def _deleted(kind: str, kid: str) -> Response:
    return json_answer({"object": kind, "id": kid, "deleted": True})
