"""Applications and users; OpenAI's service accounts are applications of a project."""

from __future__ import annotations

import os
import time
from typing import assert_never

from starlette.responses import Response

from gateway.asgi.admin.api_keys import refuse_key
from gateway.asgi.admin.bodies import ChangePrincipal, CreatePrincipal, CreateServiceAccount
from gateway.asgi.admin.call import AdminCall, refuse_managed
from gateway.asgi.admin.listing import paged
from gateway.asgi.admin.objects import key_object, principal_object, service_account_object
from gateway.asgi.answers import json_answer
from gateway.iam import api_key, ids
from gateway.iam.ids import PrincipalKind
from gateway.iam.policy import Policy, Projects, Rule
from gateway.iam.secret_hash import Peppers
from gateway.responses import administration_errors
from gateway.store.administration import Administration, IssuedKey
from gateway.store.policies import Policies
from gateway.store.principals import IdTaken, Principals, UnknownOrganisation, UnknownPrincipal
from gateway.store.records import PrincipalRecord, ProjectConfig


class PrincipalEndpoints:
    def __init__(
        self,
        administration: Administration,
        principals: Principals,
        policies: Policies,
        peppers: Peppers,
    ) -> None:
        self._administration = administration
        self._principals = principals
        self._policies = policies
        self._peppers = peppers

    async def list_service_accounts(self, call: AdminCall) -> Response:
        project = await call.project("iam:read")
        accounts = [
            each
            for each in await self._principals.list_principals(call.organisation_id, "application")
            if each.default_project_id == project.project_id
        ]
        return paged(call.request, accounts, lambda each: each.principal_id, service_account_object)

    async def create_service_account(self, call: AdminCall) -> Response:
        """An application that may use the models in the project, and its first key."""
        project = await call.project("iam:write")
        wanted = await call.body(CreateServiceAccount)
        principal_id = ids.mint_id("application", os.urandom(ids.ENTROPY_BYTES))
        key = api_key.mint(os.urandom(api_key.ENTROPY_BYTES))
        await call.log(
            "service_account.created",
            principal_id,
            project_id=project.project_id,
            after={"name": wanted.name, "api_key_id": key.kid},
        )
        principal = _created(
            await self._principals.create_principal(
                "application",
                wanted.name,
                organisation_id=call.organisation_id,
                with_id=principal_id,
                default_project_id=project.project_id,
            )
        )
        await self._policies.put_policy(
            Policy(
                policy_of(principal_id),
                f"service account {wanted.name}",
                call.organisation_id,
                frozenset({principal_id}),
                (
                    Rule(
                        frozenset({"GenerativeApisModelAccess"}),
                        Projects(frozenset({project.project_id})),
                    ),
                ),
            )
        )
        issued = await self._administration.create_key(
            project.project_id,
            wanted.name,
            peppers=self._peppers,
            principal_id=principal_id,
            minted=key,
        )
        if not isinstance(issued, IssuedKey):
            refuse_key(issued)
        told = {
            **service_account_object(principal),
            "api_key": {
                **key_object(issued.record, principal, now=int(time.time())),
                "value": issued.token,
                "object": "organization.project.service_account.api_key",
            },
        }
        return json_answer(told, headers={"cache-control": "no-store"})

    async def retrieve_service_account(self, call: AdminCall) -> Response:
        project = await call.project("iam:read")
        return json_answer(service_account_object(await self._account(call, project)))

    async def delete_service_account(self, call: AdminCall) -> Response:
        """All of its keys are refused from their next request on."""
        project = await call.project("iam:write")
        account = await self._account(call, project)
        await self._delete(call, account)
        return json_answer(
            {
                "object": "organization.project.service_account.deleted",
                "id": account.principal_id,
                "deleted": True,
            }
        )

    async def list(self, kind: PrincipalKind, call: AdminCall) -> Response:
        """Of the kind in the path, oldest first."""
        call.require("iam:read")
        principals = await self._principals.list_principals(call.organisation_id, kind)
        return paged(call.request, principals, lambda each: each.principal_id, principal_object)

    async def create(self, kind: PrincipalKind, call: AdminCall) -> Response:
        """It may do nothing until a policy names it."""
        call.require("iam:write")
        wanted = await call.body(CreatePrincipal)
        if wanted.id is not None and not ids.is_id(kind, wanted.id):
            raise administration_errors.invalid_value(
                "id", f"an id of such a principal begins with {kind[:3]}_."
            )
        if (wanted.issuer is None) != (wanted.subject is None):
            raise administration_errors.invalid_value(
                "subject", "issuer and subject belong together."
            )
        if wanted.default_project_id is not None:
            await call.project("project:read", project_id=wanted.default_project_id)
        principal_id = wanted.id or ids.mint_id(kind, os.urandom(ids.ENTROPY_BYTES))
        if await self._principals.find_principal(principal_id) is not None:
            raise administration_errors.already_exists("principal", principal_id)
        await call.log(f"{kind}.created", principal_id, after=wanted.model_dump(exclude_none=True))
        created = await self._principals.create_principal(
            kind,
            wanted.name,
            organisation_id=call.organisation_id,
            with_id=principal_id,
            default_project_id=wanted.default_project_id,
            issuer=wanted.issuer,
            subject=wanted.subject,
        )
        return json_answer(principal_object(_created(created)))

    async def retrieve(self, kind: PrincipalKind, call: AdminCall) -> Response:
        call.require("iam:read")
        return json_answer(principal_object(await self._principal(kind, call)))

    async def change(self, kind: PrincipalKind, call: AdminCall) -> Response:
        call.require("iam:write")
        principal = await self._principal(kind, call)
        wanted = await call.body(ChangePrincipal)
        refuse_managed(principal, "principal", principal.principal_id)
        if wanted.default_project_id is not None:
            await call.project("project:read", project_id=wanted.default_project_id)
        after = wanted.model_dump(exclude_none=True)
        before = {name: getattr(principal, name) for name in after}
        await call.log(
            f"{principal.kind}.updated", principal.principal_id, before=before, after=after
        )
        changed = await self._principals.change_principal(
            principal.principal_id,
            name=wanted.name,
            default_project_id=wanted.default_project_id,
        )
        if isinstance(changed, UnknownPrincipal):
            raise administration_errors.no_such("principal", principal.principal_id)
        return json_answer(principal_object(changed))

    async def delete(self, kind: PrincipalKind, call: AdminCall) -> Response:
        """All of its keys and tokens are refused from the next request on; the record stays."""
        call.require("iam:write")
        principal = await self._principal(kind, call)
        await self._delete(call, principal)
        return json_answer(
            {
                "object": f"organization.{principal.kind}.deleted",
                "id": principal.principal_id,
                "deleted": True,
            }
        )

    async def revoke_keys(self, kind: PrincipalKind, call: AdminCall) -> Response:
        """All keys that it bears; it may get new ones."""
        call.require("iam:write")
        principal = await self._principal(kind, call)
        refuse_managed(principal, "principal", principal.principal_id)
        await call.log(f"{principal.kind}.keys_revoked", principal.principal_id)
        revoked = await self._administration.revoke_keys_of(principal.principal_id)
        if isinstance(revoked, UnknownPrincipal):
            raise administration_errors.no_such("principal", principal.principal_id)
        return json_answer(
            {"object": "api_keys.revoked", "api_key_ids": sorted(each.kid for each in revoked)}
        )

    async def _delete(self, call: AdminCall, principal: PrincipalRecord) -> None:
        refuse_managed(principal, "principal", principal.principal_id)
        await call.log(
            f"{principal.kind}.deleted", principal.principal_id, before={"name": principal.name}
        )
        await self._principals.delete_principal(principal.principal_id)
        await self._policies.delete_policy(call.organisation_id, policy_of(principal.principal_id))

    async def _account(self, call: AdminCall, project: ProjectConfig) -> PrincipalRecord:
        account_id = call.request.path_params["principal_id"]
        account = await self._principals.active(account_id)
        if (
            account is None
            or account.kind != "application"
            or account.default_project_id != project.project_id
        ):
            raise administration_errors.no_such("service account", account_id)
        return account

    async def _principal(self, kind: PrincipalKind, call: AdminCall) -> PrincipalRecord:
        principal_id = call.request.path_params["principal_id"]
        principal = await self._principals.active(principal_id, call.organisation_id)
        if principal is None or principal.kind != kind:
            raise administration_errors.no_such("principal", principal_id)
        return principal


def policy_of(application_id: str) -> str:
    """The policy that a service account begins with, named after it."""
    return f"pol_{application_id.removeprefix('app_')}"


def _created(answer: PrincipalRecord | UnknownOrganisation | IdTaken) -> PrincipalRecord:
    match answer:
        case PrincipalRecord():
            return answer
        case UnknownOrganisation(organisation_id):
            raise administration_errors.no_such("organization", organisation_id)
        case IdTaken(taken):
            raise administration_errors.already_exists("principal", taken)
        case never:
            assert_never(never)
