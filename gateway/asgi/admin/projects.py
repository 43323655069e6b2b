"""Organisations and their projects: created, renamed, archived, restored."""

from __future__ import annotations

import os
from bisect import bisect_right
from typing import assert_never

from starlette.responses import Response

from gateway.asgi import query
from gateway.asgi.admin.bodies import ChangeProject, CreateOrganisation, CreateProject
from gateway.asgi.admin.call import AdminCall, refuse_managed
from gateway.asgi.admin.listing import listed, paged, read_page
from gateway.asgi.admin.objects import organisation_object, project_object
from gateway.asgi.answers import json_answer
from gateway.iam.ids import ENTROPY_BYTES, is_id, mint_id
from gateway.iam.project_id import is_project_id
from gateway.quota.limits import NO_LIMITS
from gateway.responses import administration_errors
from gateway.store.administration import (
    Administration,
    ProjectExists,
    UnknownOrganisation,
    UnknownProject,
)
from gateway.store.principals import IdTaken, Principals
from gateway.store.records import OrganisationRecord, ProjectConfig, ProjectState

READ_AT_ONCE = 200


class ProjectEndpoints:
    def __init__(self, administration: Administration, principals: Principals) -> None:
        self._administration = administration
        self._principals = principals

    async def list(self, call: AdminCall) -> Response:
        """Those that the caller may see; archived ones as well with `include_archived=true`."""
        asked = call.request.query_params
        archived = query.flag(asked, "include_archived")
        limit, after = read_page(call.request)
        ids = await self._administration.project_ids(call.organisation_id)
        first = 0 if after is None else bisect_right(ids, after)
        shown: list[ProjectConfig] = []
        # No more are read than the page takes: there may be tens of thousands.
        while first < len(ids) and len(shown) <= limit:
            some = ids[first : first + READ_AT_ONCE]
            first += len(some)
            shown += [
                project
                for project in await self._administration.find_projects(some, call.organisation_id)
                if (archived or project.state is ProjectState.ACTIVE)
                and call.may("project:read", project.project_id)
            ]
        if not shown and after is None:
            call.require("project:read")
        page = shown[:limit]
        return listed(
            [project_object(each) for each in page],
            ids=[each.project_id for each in page],
            has_more=len(shown) > limit,
        )

    async def create(self, call: AdminCall) -> Response:
        call.require("project:write")
        wanted = await call.body(CreateProject)
        if wanted.limits.changes:
            call.require("quota:write")
        if wanted.id is not None and not is_project_id(wanted.id):
            raise administration_errors.invalid_value("id", "8 to 64 letters, digits, _ or -.")
        limits = NO_LIMITS.changed(wanted.limits.changes)
        project_id = wanted.id or self._administration.new_project_id()
        if await self._administration.find_project(project_id) is not None:
            raise administration_errors.already_exists("project", project_id)
        told = {"name": wanted.name, "limits": wanted.limits.changes}
        await call.log("project.created", project_id, project_id=project_id, after=told)
        created = await self._administration.create_project(
            wanted.name, limits, with_id=project_id, organisation_id=call.organisation_id
        )
        match created:
            case ProjectConfig():
                return json_answer(project_object(created))
            case ProjectExists():
                raise administration_errors.already_exists("project", project_id)
            case UnknownOrganisation():
                raise administration_errors.no_such("organization", call.organisation_id)
            case never:
                assert_never(never)

    async def retrieve(self, call: AdminCall) -> Response:
        return json_answer(project_object(await call.project("project:read")))

    async def change(self, call: AdminCall) -> Response:
        project = await call.project("project:write")
        wanted = await call.body(ChangeProject)
        refuse_managed(project, "project", project.project_id)
        await call.log(
            "project.updated",
            project.project_id,
            project_id=project.project_id,
            before={"name": project.name},
            after={"name": wanted.name},
        )
        return _told(await self._administration.rename_project(project.project_id, wanted.name))

    async def archive(self, call: AdminCall) -> Response:
        """Its keys are refused from their next request on; its data and its bill stay."""
        return await self._set_state(call, ProjectState.DISABLED, "project.archived")

    async def restore(self, call: AdminCall) -> Response:
        return await self._set_state(call, ProjectState.ACTIVE, "project.restored")

    async def _set_state(self, call: AdminCall, state: ProjectState, type: str) -> Response:
        project = await call.project("project:write")
        refuse_managed(project, "project", project.project_id)
        await call.log(
            type,
            project.project_id,
            project_id=project.project_id,
            before={"state": project.state.value},
            after={"state": state.value},
        )
        return _told(await self._administration.set_state(project.project_id, state))

    async def list_organisations(self, call: AdminCall) -> Response:
        """All of them for who may do everything; else the caller's own."""
        everywhere = call.administrator.organisation_id is None
        if not everywhere:
            call.require("project:read")
        organisations = [
            each
            for each in await self._principals.list_organisations()
            if everywhere or each.organisation_id == call.organisation_id
        ]
        return paged(
            call.request, organisations, lambda each: each.organisation_id, organisation_object
        )

    async def create_organisation(self, call: AdminCall) -> Response:
        if call.administrator.organisation_id is not None:
            raise administration_errors.permission_denied()
        wanted = await call.body(CreateOrganisation)
        if wanted.id is not None and not is_id("organisation", wanted.id):
            raise administration_errors.invalid_value(
                "id", "org_ and up to 64 letters, digits, _ or -."
            )
        organisation_id = wanted.id or mint_id("organisation", os.urandom(ENTROPY_BYTES))
        await call.log("organization.created", organisation_id, after={"name": wanted.name})
        created = await self._principals.create_organisation(wanted.name, with_id=organisation_id)
        match created:
            case OrganisationRecord():
                return json_answer(organisation_object(created))
            case IdTaken(taken):
                raise administration_errors.already_exists("organization", taken)
            case never:
                assert_never(never)


def _told(changed: ProjectConfig | UnknownProject) -> Response:
    match changed:
        case ProjectConfig():
            return json_answer(project_object(changed))
        case UnknownProject(project_id):
            raise administration_errors.no_such("project", project_id)
        case never:
            assert_never(never)
