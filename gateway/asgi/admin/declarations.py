"""POST /admin/v1/apply: make what there is what a file declares, or tell what that would take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from starlette.responses import Response

from gateway.asgi.admin.bodies import Apply, DeclarationBody, DeclaredPrincipalBody
from gateway.asgi.admin.call import AdminCall
from gateway.asgi.answers import json_answer
from gateway.iam import ids
from gateway.iam.api_key import parse
from gateway.iam.ids import PrincipalKind
from gateway.iam.policy import Policy, Rule, read_rule
from gateway.iam.project_id import is_project_id
from gateway.quota.limits import NO_LIMITS
from gateway.responses import administration_errors
from gateway.store.declarations import (
    CannotDeclare,
    Declaration,
    Declarations,
    DeclaredKey,
    DeclaredPrincipal,
    DeclaredProject,
    Step,
)


class DeclarationEndpoints:
    def __init__(self, declarations: Declarations) -> None:
        self._declarations = declarations

    async def apply(self, call: AdminCall) -> Response:
        """Step by step; each is in the audit log before it is made. Applying again does nothing."""
        for permission in ("project:write", "quota:write", "iam:write"):
            call.require(permission)
        wanted = await call.body(Apply)
        declared = read_declaration(wanted.document, call.organisation_id)
        try:
            steps = await self._declarations.plan(declared, prune=wanted.prune)
            if not wanted.dry_run:
                for step in steps:
                    if step.changes:
                        await call.log(
                            f"{step.kind}.declared",
                            step.id,
                            project_id=step.project_id,
                            before=step.before,
                            after={"action": step.action, **(step.after or {})},
                        )
                        await step.carry_out()
        except CannotDeclare as exc:
            raise administration_errors.cannot_declare(str(exc)) from exc
        return json_answer(
            {
                "object": "declaration",
                "dry_run": wanted.dry_run,
                "changes": sum(step.changes for step in steps),
                "steps": [_told(step) for step in steps],
            }
        )


def read_declaration(document: DeclarationBody, organisation_id: str) -> Declaration:
    """Raises ApiError: 400, naming the place."""
    projects = []
    for number, project in enumerate(document.projects):
        if not is_project_id(project.id):
            raise administration_errors.invalid_value(
                f"document.projects[{number}].id", "8 to 64 letters, digits, _ or -."
            )
        limits = NO_LIMITS.changed(project.limits.changes)
        projects.append(DeclaredProject(project.id, project.name, limits))
    policies = []
    for number, policy in enumerate(document.policies):
        place = f"document.policies[{number}]"
        try:
            policies.append(
                Policy(
                    policy.id,
                    policy.name,
                    organisation_id,
                    frozenset(policy.principal_ids),
                    _rules(policy.rules),
                    managed=True,
                )
            )
        except ValueError as exc:
            raise administration_errors.invalid_value(place, f"{exc}.") from exc
    keys = []
    for number, each in enumerate(document.keys):
        key = parse(each.token)
        if key is None or key.kind != "tenant":
            raise administration_errors.invalid_value(
                f"document.keys[{number}].token", "it is no token of a key, gwk_..."
            )
        keys.append(
            DeclaredKey(
                key,
                each.name,
                each.project_id,
                each.principal_id,
                each.expires_at,
                NO_LIMITS.changed(each.limits.changes),
            )
        )
    declared = Declaration(
        organisation_id,
        tuple(projects),
        (
            *_principals("application", "applications", document.applications),
            *_principals("user", "users", document.users),
        ),
        tuple(policies),
        tuple(keys),
    )
    _refuse_twice("projects", (each.project_id for each in declared.projects))
    _refuse_twice("principals", (each.principal_id for each in declared.principals))
    _refuse_twice("policies", (each.policy_id for each in declared.policies))
    _refuse_twice("keys", (each.key.kid for each in declared.keys))
    return declared


def _principals(
    kind: PrincipalKind, place: str, bodies: Sequence[DeclaredPrincipalBody]
) -> Iterable[DeclaredPrincipal]:
    for number, each in enumerate(bodies):
        if not ids.is_id(kind, each.id):
            raise administration_errors.invalid_value(
                f"document.{place}[{number}].id",
                "app_ or usr_, and up to 64 letters, digits, _ or -.",
            )
        yield DeclaredPrincipal(
            kind, each.id, each.name, each.default_project_id, each.issuer, each.subject
        )


def _rules(bodies: Sequence[Mapping[str, object]]) -> tuple[Rule, ...]:
    return tuple(read_rule(each) for each in bodies)


def _refuse_twice(place: str, found: Iterable[str]) -> None:
    seen: set[str] = set()
    for each in found:
        if each in seen:
            raise administration_errors.invalid_value(
                f"document.{place}", f"{each} is declared twice."
            )
        seen.add(each)


def _told(step: Step) -> dict[str, object]:
    return {
        "action": step.action,
        "kind": step.kind,
        "id": step.id,
        "before": step.before,
        "after": step.after,
    }
