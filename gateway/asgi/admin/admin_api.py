"""All paths of the admin API, and how its errors are told.

Every endpoint but the console's files is given an `AdminCall`, which there is only for who
has been authenticated: a path cannot be served without.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway.asgi.admin.api_keys import ApiKeyEndpoints
from gateway.asgi.admin.audit_logs import AuditEndpoints
from gateway.asgi.admin.call import AdminCall, AdminCalls
from gateway.asgi.admin.console_files import ConsoleFiles
from gateway.asgi.admin.declarations import DeclarationEndpoints
from gateway.asgi.admin.limits import LimitEndpoints
from gateway.asgi.admin.operations import OperationEndpoints
from gateway.asgi.admin.policies import PolicyEndpoints
from gateway.asgi.admin.principals import PrincipalEndpoints
from gateway.asgi.admin.projects import ProjectEndpoints
from gateway.asgi.admin.usage import UsageEndpoints
from gateway.asgi.answers import error_answer
from gateway.asgi.boundary import RequestBoundary, telemetry_of
from gateway.asgi.error_handlers import error_handlers
from gateway.asgi.in_flight import RequestsInFlight
from gateway.iam.ids import PrincipalKind
from gateway.responses import administration_errors
from gateway.responses.errors import ApiError
from gateway.store.durability import Durability
from gateway.store.errors import StoreUnavailable
from gateway.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)

Endpoint = Callable[[AdminCall], Awaitable[Response]]
Served = tuple[str, str, Endpoint]  # method, path, and what answers

ORGANISATION = "/v1/organization"
PROJECT = f"{ORGANISATION}/projects/{{project_id}}"


def admin_api(
    calls: AdminCalls,
    projects: ProjectEndpoints,
    limits: LimitEndpoints,
    keys: ApiKeyEndpoints,
    principals: PrincipalEndpoints,
    policies: PolicyEndpoints,
    usage: UsageEndpoints,
    audit: AuditEndpoints,
    operations: OperationEndpoints,
    declarations: DeclarationEndpoints,
    durability: Durability,
    metrics: Metrics,
) -> ASGIApp:
    """The application, with the console at /console."""
    served: tuple[Served, ...] = (
        ("GET", f"{ORGANISATION}/projects", projects.list),
        ("POST", f"{ORGANISATION}/projects", projects.create),
        ("GET", PROJECT, projects.retrieve),
        ("POST", PROJECT, projects.change),
        ("POST", f"{PROJECT}/archive", projects.archive),
        ("POST", f"{PROJECT}/restore", projects.restore),
        ("GET", f"{PROJECT}/limits", limits.retrieve),
        ("POST", f"{PROJECT}/limits", limits.change),
        ("GET", f"{PROJECT}/rate_limits", limits.list_rate_limits),
        ("POST", f"{PROJECT}/rate_limits/{{rate_limit_id}}", limits.change_rate_limit),
        ("GET", f"{PROJECT}/service_accounts", principals.list_service_accounts),
        ("POST", f"{PROJECT}/service_accounts", principals.create_service_account),
        (
            "GET",
            f"{PROJECT}/service_accounts/{{principal_id}}",
            principals.retrieve_service_account,
        ),
        (
            "DELETE",
            f"{PROJECT}/service_accounts/{{principal_id}}",
            principals.delete_service_account,
        ),
        ("GET", f"{PROJECT}/api_keys", keys.list),
        ("POST", f"{PROJECT}/api_keys", keys.create),
        ("GET", f"{PROJECT}/api_keys/{{kid}}", keys.retrieve),
        ("DELETE", f"{PROJECT}/api_keys/{{kid}}", keys.delete),
        ("POST", f"{PROJECT}/api_keys/{{kid}}/rotate", keys.rotate),
        ("POST", f"{PROJECT}/api_keys/{{kid}}/revoke", keys.revoke),
        ("POST", f"{PROJECT}/api_keys/{{kid}}/limits", keys.set_limits),
        ("GET", f"{PROJECT}/ledger", usage.ledger),
        ("GET", f"{ORGANISATION}/admin_api_keys", keys.list_admin_keys),
        ("POST", f"{ORGANISATION}/admin_api_keys", keys.create_admin_key),
        ("DELETE", f"{ORGANISATION}/admin_api_keys/{{kid}}", keys.delete_admin_key),
        ("POST", f"{ORGANISATION}/admin_api_keys/{{kid}}/rotate", keys.rotate_admin_key),
        ("GET", f"{ORGANISATION}/usage/completions", usage.completions),
        ("GET", f"{ORGANISATION}/costs", usage.costs),
        ("GET", f"{ORGANISATION}/audit_logs", audit.list),
        ("GET", f"{ORGANISATION}/audit_logs/verify", audit.verify),
        ("GET", "/admin/v1/organizations", projects.list_organisations),
        ("POST", "/admin/v1/organizations", projects.create_organisation),
        ("GET", "/admin/v1/permission_sets", policies.list_permission_sets),
        ("GET", "/admin/v1/policies", policies.list),
        ("POST", "/admin/v1/policies", policies.create),
        ("POST", "/admin/v1/policies/explain", policies.explain),
        ("GET", "/admin/v1/policies/{policy_id}", policies.retrieve),
        ("POST", "/admin/v1/policies/{policy_id}", policies.replace),
        ("DELETE", "/admin/v1/policies/{policy_id}", policies.delete),
        ("GET", "/admin/v1/keys/{kid}", keys.find),
        ("GET", "/admin/v1/leases", operations.leases),
        ("GET", "/admin/v1/books", operations.books),
        ("POST", "/admin/v1/apply", declarations.apply),
        *_of_principals(principals, "application"),
        *_of_principals(principals, "user"),
    )

    async def replicated() -> None:
        try:
            await durability.wait()
        except StoreUnavailable as exc:
            _log.warning("a change is not on replicas: %s", exc)
            raise administration_errors.not_replicated() from exc

    def route(path: str, endpoints: Mapping[str, Endpoint]) -> Route:
        async def serve(request: Request) -> Response:
            telemetry_of(request.scope).route = "admin"
            method = "GET" if request.method == "HEAD" else request.method
            answer = await endpoints[method](await calls.call_of(request))
            if method != "GET":
                await replicated()
            return answer

        return Route(path, serve, methods=list(endpoints))

    async def told(request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        telemetry_of(request.scope).error_code = error.code or error.type
        return error_answer(error)

    console = ConsoleFiles()
    # A route each: with several, Starlette's 405 would name the methods of the first only.
    by_path: dict[str, dict[str, Endpoint]] = {}
    for method, path, endpoint in served:
        by_path.setdefault(path, {})[method] = endpoint
    app = Starlette(
        routes=[
            *(route(path, endpoints) for path, endpoints in by_path.items()),
            Route("/console", console.entry),
            Route("/console/{path:path}", console.file),
        ],
        exception_handlers=error_handlers(
            told,
            not_found=administration_errors.nothing_here,
            store_unavailable=administration_errors.administration_unavailable,
        ),
    )
    app.router.redirect_slashes = False
    return RequestBoundary(app, RequestsInFlight(), metrics)


def _of_principals(principals: PrincipalEndpoints, kind: PrincipalKind) -> Iterator[Served]:
    path = f"/admin/v1/{kind}s"
    one = f"{path}/{{principal_id}}"
    yield "GET", path, partial(principals.list, kind)
    yield "POST", path, partial(principals.create, kind)
    yield "GET", one, partial(principals.retrieve, kind)
    yield "POST", one, partial(principals.change, kind)
    yield "DELETE", one, partial(principals.delete, kind)
    yield "POST", f"{one}/revoke_keys", partial(principals.revoke_keys, kind)
