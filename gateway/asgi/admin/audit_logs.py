"""The audit log: who changed what, newest first; and whether anybody has changed the log."""

from __future__ import annotations

from starlette.responses import Response

from gateway.asgi import query
from gateway.asgi.admin.call import AdminCall
from gateway.asgi.admin.listing import DEFAULT_LIMIT, MAX_LIMIT, listed
from gateway.asgi.admin.objects import audit_object
from gateway.asgi.answers import json_answer
from gateway.responses import administration_errors
from gateway.store.audit import AuditEntry, AuditLog


class AuditEndpoints:
    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    async def list(self, call: AdminCall) -> Response:
        call.require("audit:read")
        asked = call.request.query_params
        limit = query.integer(asked, "limit", default=DEFAULT_LIMIT, highest=MAX_LIMIT)
        most = query.MAX_UNIX_S
        not_before = max(
            query.integer(asked, "effective_at[gte]", default=0, lowest=0, highest=most),
            query.integer(asked, "effective_at[gt]", default=-1, lowest=0, highest=most) + 1,
        )
        not_after = min(
            query.integer(asked, "effective_at[lte]", default=most, lowest=0, highest=most),
            query.integer(asked, "effective_at[lt]", default=most + 1, lowest=0, highest=most) - 1,
        )
        types, projects = query.words(asked, "event_types"), query.words(asked, "project_ids")
        actors, targets = query.words(asked, "actor_ids"), query.words(asked, "resource_ids")

        def wanted(entry: AuditEntry) -> bool:
            change = entry.change
            return (
                change.organisation_id == call.organisation_id
                and not_before <= entry.effective_at <= not_after
                and (not types or change.type in types)
                and (not projects or change.project_id in projects)
                and (not targets or change.target in targets)
                and (not actors or bool({entry.actor.kid, entry.actor.principal_id} & set(actors)))
            )

        after = asked.get("after")
        if after is not None and not query.is_entry_id(after):
            raise administration_errors.invalid_value("after", "use last_id of the page before.")
        entries = await self._audit.page(wanted, before=after, count=limit + 1)
        shown = entries[:limit]
        return listed(
            [audit_object(each) for each in shown],
            ids=[each.entry_id for each in shown],
            has_more=len(entries) > limit,
        )

    async def verify(self, call: AdminCall) -> Response:
        """Walk the whole chain of hashes."""
        call.require("audit:read")
        found = await self._audit.verify()
        return json_answer(
            {
                "object": "organization.audit_log.verification",
                "intact": found.broken_at is None,
                "entries": found.entries,
                "last_hash": found.last_hash,
                "broken_at": found.broken_at,
            }
        )
