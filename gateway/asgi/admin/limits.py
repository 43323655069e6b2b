"""Limits of projects and keys, and how much of them is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from starlette.responses import Response

from gateway.asgi.admin.bodies import LimitsBody, RateLimitBody
from gateway.asgi.admin.call import AdminCall, refuse_managed
from gateway.asgi.admin.listing import listed
from gateway.asgi.admin.objects import rate_limit_object
from gateway.asgi.answers import json_answer
from gateway.asgi.standings import limits_changes, standing_object
from gateway.responses import administration_errors
from gateway.store.administration import Administration, UnknownProject
from gateway.store.records import ProjectConfig
from gateway.store.standing import Standings


class LimitEndpoints:
    def __init__(self, administration: Administration, standings: Standings, model: str) -> None:
        """*model*: whose limits OpenAI's paths speak of; there is one."""
        self._administration = administration
        self._standings = standings
        self._model = model

    async def retrieve(self, call: AdminCall) -> Response:
        return await self._told(await call.project("project:read"))

    async def change(self, call: AdminCall) -> Response:
        """Those that are named, from the next request on."""
        project = await call.project("quota:write")
        wanted = await call.body(LimitsBody)
        return await self._told(await self._changed(call, project, wanted.changes))

    async def list_rate_limits(self, call: AdminCall) -> Response:
        told = rate_limit_object(await call.project("project:read"), self._model)
        return listed([told], ids=[str(told["id"])], has_more=False)

    async def change_rate_limit(self, call: AdminCall) -> Response:
        project = await call.project("quota:write")
        if call.request.path_params["rate_limit_id"] not in (f"rl-{self._model}", self._model):
            raise administration_errors.no_such(
                "rate limit", call.request.path_params["rate_limit_id"]
            )
        wanted = await call.body(RateLimitBody)
        names = {
            "max_requests_per_1_minute": "requests_per_minute",
            "max_tokens_per_1_minute": "tokens_per_minute",
        }
        changes = {names[each]: getattr(wanted, each) for each in wanted.model_fields_set}
        changed = await self._changed(call, project, changes)
        return json_answer(rate_limit_object(changed, self._model))

    async def _changed(
        self, call: AdminCall, project: ProjectConfig, changes: Mapping[str, int | str | None]
    ) -> ProjectConfig:
        refuse_managed(project, "project", project.project_id)
        if not changes:
            return project
        before, after = limits_changes(project.limits, changes)
        await call.log(
            "rate_limit.updated",
            project.project_id,
            project_id=project.project_id,
            before=before,
            after=after,
        )
        changed = await self._administration.set_limits(project.project_id, changes)
        match changed:
            case ProjectConfig():
                return changed
            case UnknownProject(project_id):
                raise administration_errors.no_such("project", project_id)
            case never:
                assert_never(never)

    async def _told(self, project: ProjectConfig) -> Response:
        standing = await self._standings.read(project.project_id)
        return json_answer(
            {
                "object": "organization.project.limits",
                "project_id": project.project_id,
                **standing_object(project.limits, standing),
            }
        )
