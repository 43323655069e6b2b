"""GET /v1/limits and /v1/usage: what applies to whoever asks, and what they have used."""

from __future__ import annotations

from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response

from gateway.asgi.answers import json_answer
from gateway.asgi.authentication import Authenticator
from gateway.asgi.boundary import remember_caller, telemetry_of
from gateway.asgi.rate_limits import RateLimitHeaders
from gateway.asgi.standings import standing_object
from gateway.asgi.usage_page import usage_page
from gateway.iam.permissions import Permission
from gateway.responses.errors import ApiError
from gateway.stations import Caller
from gateway.store.records import KeyRecord, ProjectConfig
from gateway.store.standing import Standings
from gateway.store.usage_buckets import UsageBuckets

FORBIDDEN = 403


class Records(Protocol):
    async def find_project(self, wanted_id: str) -> ProjectConfig | None: ...

    async def find_key(self, kid: str) -> KeyRecord | None: ...


class AccountEndpoint:
    """Nothing here is reserved, or counted."""

    def __init__(
        self,
        authenticator: Authenticator,
        rate_limits: RateLimitHeaders,
        records: Records,
        standings: Standings,
        buckets: UsageBuckets,
    ) -> None:
        self._authenticator = authenticator
        self._rate_limits = rate_limits
        self._records = records
        self._standings = standings
        self._buckets = buckets

    async def limits(self, request: Request) -> Response:
        caller = await self._caller(request, "limits", "model:use")
        # First: who may no longer ask is found out by asking for them.
        headers = await self._rate_limits.of(caller)
        project = await self._records.find_project(caller.project_id)
        assert project is not None, caller.project_id
        key = await self._records.find_key(caller.kid)
        of_project = await self._standings.read(caller.project_id)
        told = {
            "object": "limits",
            "project": {
                "id": project.project_id,
                **standing_object(project.limits, of_project),
            },
            "api_key": None
            if key is None
            else {
                "id": key.kid,
                **standing_object(
                    key.limits,
                    await self._standings.read(caller.project_id, kid=key.kid),
                    counts_requests=key.limits.concurrent_requests is not None,
                ),
            },
        }
        return json_answer(told, headers=headers)

    async def usage(self, request: Request) -> Response:
        """Of the project for who may see that; of the key itself for everybody else."""
        try:
            caller = await self._caller(request, "usage", "usage:read")
            kids = None
        except ApiError as refused:
            if refused.status != FORBIDDEN:
                raise
            caller = await self._caller(request, "usage", "model:use")
            kids = [caller.kid]
        headers = await self._rate_limits.of(caller)
        page = await usage_page(self._buckets, request.query_params, [caller.project_id], kids=kids)
        page["scope"] = "project" if kids is None else "api_key"
        return json_answer(page, headers=headers)

    async def _caller(self, request: Request, route: str, permission: Permission) -> Caller:
        telemetry_of(request.scope).route = route
        caller = await self._authenticator.caller_of(request, permission=permission)
        remember_caller(request.scope, caller)
        return caller
