"""For whoever runs the gateways: open leases, and whether the books agree."""

from __future__ import annotations

from dataclasses import asdict

from starlette.responses import Response

from gateway.asgi.admin.call import AdminCall
from gateway.asgi.admin.listing import listed
from gateway.asgi.admin.objects import Json, lease_object
from gateway.asgi.answers import json_answer
from gateway.responses import administration_errors
from gateway.store.administration import Administration
from gateway.store.books import Books
from gateway.store.standing import Standings


class OperationEndpoints:
    def __init__(self, administration: Administration, standings: Standings, books: Books) -> None:
        self._administration = administration
        self._standings = standings
        self._books = books

    async def leases(self, call: AdminCall) -> Response:
        """Requests in flight of the project `project_id`, oldest first."""
        project_id = call.request.query_params.get("project_id")
        if project_id is None:
            raise administration_errors.invalid_value("project_id", "name the project.")
        project = await call.project("usage:read", project_id=project_id)
        leases = await self._standings.leases(project.project_id)
        return listed(
            [lease_object(project.project_id, each) for each in leases],
            ids=[each.lease_id for each in leases],
            has_more=False,
        )

    async def books(self, call: AdminCall) -> Response:
        """Ledger, counters and budgets of `project_id`, or of all projects, compared."""
        project_id = call.request.query_params.get("project_id")
        if project_id is not None:
            projects = [await call.project("billing:read", project_id=project_id)]
        else:
            call.require("billing:read")
            projects = await self._administration.list_projects(call.organisation_id)
        audited = [await self._books.audit(each.project_id) for each in projects]
        differences: list[Json] = [asdict(each) for books in audited for each in books.differences]
        return json_answer(
            {
                "object": "books",
                "agree": not differences,
                "projects": len(audited),
                "entries": sum(books.entries for books in audited),
                "open_leases": sum(books.open_leases for books in audited),
                "reserved_tokens": sum(books.reserved_tokens for books in audited),
                "differences": differences,
            }
        )
