"""Policies, the permission sets they are made of, and what they decide."""

from __future__ import annotations

import os
import time
from typing import assert_never

from starlette.responses import Response

from gateway.asgi.admin.bodies import Explain, PolicyBody
from gateway.asgi.admin.call import AdminCall, refuse_managed
from gateway.asgi.admin.listing import listed, paged
from gateway.asgi.admin.objects import Json, policy_object
from gateway.asgi.answers import json_answer
from gateway.iam import ids
from gateway.iam.address import read_address
from gateway.iam.conditions import RequestFacts
from gateway.iam.decision import Allowed, Grant, Target, decide, explain
from gateway.iam.permissions import PERMISSION_SETS
from gateway.iam.policy import Policy, Rule, read_rule
from gateway.responses import administration_errors
from gateway.store.administration import Administration
from gateway.store.policies import ForeignProject, Policies
from gateway.store.principals import Principals, UnknownOrganisation, UnknownPrincipal
from gateway.store.records import KeyRecord, KeyState


class PolicyEndpoints:
    def __init__(
        self, administration: Administration, principals: Principals, policies: Policies
    ) -> None:
        self._administration = administration
        self._principals = principals
        self._policies = policies

    async def list(self, call: AdminCall) -> Response:
        """All of the organisation, or those of `principal_id`."""
        call.require("iam:read")
        policies = await self._policies.list_policies(
            call.organisation_id, principal_id=call.request.query_params.get("principal_id")
        )
        return paged(call.request, policies, lambda each: each.policy_id, policy_object)

    async def create(self, call: AdminCall) -> Response:
        call.require("iam:write")
        policy_id = ids.mint_id("policy", os.urandom(ids.ENTROPY_BYTES))
        policy = await self._read(call, policy_id)
        await call.log("policy.created", policy_id, after=policy_object(policy))
        return await self._put(policy)

    async def retrieve(self, call: AdminCall) -> Response:
        call.require("iam:read")
        return json_answer(policy_object(await self._policy(call)))

    async def replace(self, call: AdminCall) -> Response:
        """Whole: principals or rules that are not named are gone."""
        call.require("iam:write")
        before = await self._policy(call)
        refuse_managed(before, "policy", before.policy_id)
        policy = await self._read(call, before.policy_id)
        await call.log(
            "policy.updated",
            policy.policy_id,
            before=policy_object(before),
            after=policy_object(policy),
        )
        return await self._put(policy)

    async def delete(self, call: AdminCall) -> Response:
        call.require("iam:write")
        policy = await self._policy(call)
        refuse_managed(policy, "policy", policy.policy_id)
        await call.log("policy.deleted", policy.policy_id, before=policy_object(policy))
        await self._policies.delete_policy(call.organisation_id, policy.policy_id)
        return json_answer(
            {"object": "organization.policy.deleted", "id": policy.policy_id, "deleted": True}
        )

    async def list_permission_sets(self, call: AdminCall) -> Response:
        sets: list[Json] = [
            {
                "object": "permission_set",
                "id": each.name,
                "description": each.description,
                "permissions": sorted(each.gives),
            }
            for each in PERMISSION_SETS.values()
        ]
        return listed(sets, ids=[str(each["id"]) for each in sets], has_more=False)

    async def explain(self, call: AdminCall) -> Response:
        """What would be decided, and what each line of the policies says to it."""
        call.require("iam:read")
        asked = await call.body(Explain)
        if (asked.principal_id is None) == (asked.api_key_id is None):
            raise administration_errors.invalid_value(
                "principal_id", "name either a principal or an API key."
            )
        grant, project_id, unusable = await self._asked_of(call, asked)
        address = None if asked.address is None else read_address(asked.address)
        if asked.address is not None and address is None:
            raise administration_errors.invalid_value("address", "it is no IP address.")
        facts = RequestFacts(
            at=asked.at if asked.at is not None else time.time(),
            address=address,
            user_agent=asked.user_agent,
            model=asked.model,
            tier=asked.tier,
        )
        target = Target(call.organisation_id, project_id)
        verdict, *reasons = explain(grant, asked.permission, target, facts)
        decision = decide(grant, asked.permission, target, facts)
        by = decision if isinstance(decision, Allowed) and unusable is None else None
        if unusable is not None:
            verdict, reasons = f"denied: {unusable}", [verdict, *reasons]
        return json_answer(
            {
                "object": "policy.explanation",
                "allowed": by is not None,
                "policy_id": by and by.policy_id,
                "rule": by and by.rule,
                "verdict": verdict,
                "reasons": reasons,
            }
        )

    async def _asked_of(
        self, call: AdminCall, asked: Explain
    ) -> tuple[Grant, str | None, str | None]:
        """Whose lines; the project that is named, else that of the key; and why, whatever the
        policies say, the key lets nobody in."""
        if asked.api_key_id is not None:
            key = await self._administration.find_key(asked.api_key_id)
            if key is None or key.organisation_id != call.organisation_id:
                raise administration_errors.no_such("API key", asked.api_key_id)
            return (
                Grant(key.organisation_id, key.lines),
                asked.project_id or key.default_project_id,
                _unusable(key, time.time() if asked.at is None else asked.at),
            )
        assert asked.principal_id is not None
        principal = await self._principals.active(asked.principal_id, call.organisation_id)
        if principal is None:
            raise administration_errors.no_such("principal", asked.principal_id)
        return Grant(principal.organisation_id, principal.lines), asked.project_id, None

    async def _read(self, call: AdminCall, policy_id: str) -> Policy:
        wanted = await call.body(PolicyBody)
        rules: list[Rule] = []
        for number, each in enumerate(wanted.rules):
            try:
                rules.append(read_rule(each))
            except ValueError as exc:
                raise administration_errors.invalid_value(f"rules[{number}]", f"{exc}.") from exc
        try:
            return Policy(
                policy_id,
                wanted.name,
                call.organisation_id,
                frozenset(wanted.principal_ids),
                tuple(rules),
            )
        except ValueError as exc:
            raise administration_errors.invalid_value("principal_ids", f"{exc}.") from exc

    async def _put(self, policy: Policy) -> Response:
        match await self._policies.put_policy(policy):
            case Policy() as put:
                return json_answer(policy_object(put))
            case UnknownPrincipal(principal_id):
                raise administration_errors.no_such(
                    "principal", principal_id, param="principal_ids"
                )
            case ForeignProject(project_id):
                raise administration_errors.no_such("project", project_id, param="rules")
            case UnknownOrganisation(organisation_id):
                raise administration_errors.no_such("organization", organisation_id, param="rules")
            case never:
                assert_never(never)

    async def _policy(self, call: AdminCall) -> Policy:
        policy_id = call.request.path_params["policy_id"]
        policy = await self._policies.find_policy(policy_id)
        if policy is None or policy.organisation_id != call.organisation_id:
            raise administration_errors.no_such("policy", policy_id)
        return policy


def _unusable(key: KeyRecord, at: float) -> str | None:
    if key.state is KeyState.REVOKED:
        return f"the key {key.kid} was revoked"
    if key.expires_at is not None and key.expires_at <= at:
        return f"the key {key.kid} has expired"
    return None
