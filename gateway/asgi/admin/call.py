"""One request of the admin API whose bearer is known: what every endpoint begins with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel
from starlette.requests import Request

from gateway.asgi.administrators import Administrator, Administrators
from gateway.asgi.body import BodyBudget, BodyLimits, receive_json_body
from gateway.asgi.boundary import telemetry_of
from gateway.iam.decision import Target
from gateway.iam.ids import DEFAULT_ORGANISATION, is_id
from gateway.iam.permissions import Permission
from gateway.iam.policy import Policy
from gateway.responses import administration_errors
from gateway.responses.json_body import parse_json_object
from gateway.responses.validation import validated
from gateway.store.administration import Administration
from gateway.store.audit import Actor, AuditLog, Change
from gateway.store.records import KeyRecord, PrincipalRecord, ProjectConfig

Model = TypeVar("Model", bound=BaseModel)

# A file of declared projects, policies and keys is the longest that anybody sends.
MAX_BODY_BYTES = 1024 * 1024
BODY_TIMEOUT_S = 30.0
MAX_USER_AGENT_CHARS = 200
ORGANISATION_HEADER = "openai-organization"


@dataclass(frozen=True, slots=True)
class AdminCall:
    """Who asks, on behalf of which organisation. Every method that refuses raises ApiError."""

    request: Request
    administrator: Administrator
    organisation_id: str
    administration: Administration
    audit: AuditLog
    _limits: BodyLimits

    async def body(self, model: type[Model]) -> Model:
        """What the request says; nothing at all is an empty object."""
        with await receive_json_body(self.request, "", self._limits) as body:
            data = body.take_data() or b"{}"
        return validated(model, parse_json_object(data))

    def may(self, permission: Permission, project_id: str | None = None) -> bool:
        """On a project of the organisation, or on the organisation itself."""
        return self.administrator.may(permission, Target(self.organisation_id, project_id))

    def require(self, permission: Permission, project_id: str | None = None) -> None:
        self.administrator.require(permission, Target(self.organisation_id, project_id))

    async def project(
        self, permission: Permission, *, project_id: str | None = None
    ) -> ProjectConfig:
        """The one in the path, or *project_id*; "not there" and "not yours" are the same 403."""
        wanted = self.request.path_params["project_id"] if project_id is None else project_id
        # Whoever may do it to the whole organisation learns nothing by hearing 404.
        project = await self.administration.find_project(wanted)
        if project is None or project.organisation_id != self.organisation_id:
            self.require(permission)
            raise administration_errors.no_such("project", wanted)
        self.require(permission, wanted)
        return project

    async def log(
        self,
        type: str,
        target: str,
        *,
        project_id: str | None = None,
        before: Mapping[str, object] | None = None,
        after: Mapping[str, object] | None = None,
    ) -> None:
        """Write down a change that is about to be made. Raises StoreUnavailable: then it must not.

        *before*, *after*: what changes, never a secret.
        """
        await self.audit.append(
            actor_of(self.administrator, self.request),
            Change(type, target, self.organisation_id, project_id, before, after),
        )


def actor_of(administrator: Administrator, request: Request) -> Actor:
    address = administrator.facts.address
    return Actor(
        administrator.kid,
        administrator.principal_id,
        None if address is None else str(address),
        administrator.facts.user_agent[:MAX_USER_AGENT_CHARS] or None,
    )


def refuse_managed(
    record: ProjectConfig | KeyRecord | PrincipalRecord | Policy, what: str, record_id: str
) -> None:
    """Raises ApiError, 409, for what a file declares: the next `gwctl apply` would undo it."""
    if record.managed:
        raise administration_errors.managed_object(what, record_id)


class AdminCalls:
    """Makes an `AdminCall` of a request, or refuses it."""

    def __init__(
        self,
        administrators: Administrators,
        administration: Administration,
        audit: AuditLog,
    ) -> None:
        self._administrators = administrators
        self._administration = administration
        self._audit = audit
        self._limits = BodyLimits(MAX_BODY_BYTES, BODY_TIMEOUT_S, BodyBudget(16 * MAX_BODY_BYTES))

    async def call_of(self, request: Request) -> AdminCall:
        """Raises ApiError: 401, 403, 429; StoreUnavailable."""
        administrator = await self._administrators.administrator_of(request)
        telemetry_of(request.scope).kid = administrator.kid
        named = request.headers.get(ORGANISATION_HEADER)
        own = administrator.organisation_id
        if named is not None and (
            not is_id("organisation", named) or (own is not None and named != own)
        ):
            raise administration_errors.permission_denied()
        return AdminCall(
            request,
            administrator,
            named or own or DEFAULT_ORGANISATION,
            self._administration,
            self._audit,
            self._limits,
        )
