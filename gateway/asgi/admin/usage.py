"""Usage and costs in OpenAI's shape, and the ledger they are sums of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from starlette.responses import Response

from gateway.asgi import query
from gateway.asgi.admin.call import AdminCall
from gateway.asgi.admin.listing import MAX_LIMIT, listed
from gateway.asgi.admin.objects import Json, ledger_object
from gateway.asgi.answers import json_answer
from gateway.asgi.usage_page import page_of, period_of, usage_page
from gateway.iam.permissions import Permission
from gateway.quota.prices import LineItem, Prices
from gateway.responses import administration_errors
from gateway.store.administration import Administration
from gateway.store.usage import UsageReader
from gateway.store.usage_buckets import (
    GROUPINGS,
    Bucket,
    Grouping,
    UsageBuckets,
)

COSTS_DAYS = (7, 180)


class UsageEndpoints:
    def __init__(
        self,
        administration: Administration,
        reader: UsageReader,
        buckets: UsageBuckets,
        prices: Prices | None,
    ) -> None:
        self._administration = administration
        self._reader = reader
        self._buckets = buckets
        self._prices = prices

    async def completions(self, call: AdminCall) -> Response:
        asked = call.request.query_params
        projects = await self._projects(call, "usage:read")
        return json_answer(await usage_page(self._buckets, asked, projects, owners_of=self._owners))

    async def costs(self, call: AdminCall) -> Response:
        """By day; what a token costs is what GATEWAY_PRICES_FILE says now."""
        if self._prices is None:
            raise administration_errors.no_prices()
        asked = call.request.query_params
        projects = await self._projects(call, "billing:read")
        group_by = query.choices(
            asked, "group_by", ("project_id", "line_item", "api_key_id", "user_id", "api_source")
        )
        period = period_of(asked, "1d", COSTS_DAYS)
        by: list[Grouping] = ["model"]
        by += [each for each in GROUPINGS if each in group_by and each != "model"]
        buckets = await self._buckets.read(
            projects,
            start=period.start,
            end=period.end,
            width="1d",
            group_by=by,
            kids=query.words(asked, "api_key_ids"),
            owners=await self._owners(projects) if "user_id" in group_by else {},
        )
        data: list[Json] = [
            {
                "object": "bucket",
                "start_time": bucket.start,
                "end_time": bucket.end,
                "results": costs_of(bucket, self._prices, by_item="line_item" in group_by),
            }
            for bucket in buckets
        ]
        return json_answer(page_of(data, period))

    async def ledger(self, call: AdminCall) -> Response:
        """What a project was charged, a response each: the last ones, or those `after` an entry."""
        project = await call.project("usage:read")
        asked = call.request.query_params
        limit = query.integer(asked, "limit", default=MAX_LIMIT, highest=10_000)
        after = asked.get("after")
        if after is None:
            entries = await self._reader.ledger_end(project.project_id, count=limit)
        else:
            _check_entry_id(after)
            entries = await self._reader.ledger_page(project.project_id, after=after, count=limit)
        return listed(
            [ledger_object(each) for each in entries],
            ids=[each.entry_id for each in entries],
            has_more=after is not None and len(entries) == limit,
        )

    async def _owners(self, project_ids: Sequence[str]) -> dict[str, str]:
        return {
            key.kid: key.principal_id
            for project_id in project_ids
            for key in await self._administration.list_keys(project_id)
        }

    async def _projects(self, call: AdminCall, permission: Permission) -> list[str]:
        """Those that are named, which all must be the caller's; or all that are."""
        named = query.words(call.request.query_params, "project_ids")
        if named:
            return [(await call.project(permission, project_id=each)).project_id for each in named]
        projects = await self._administration.list_projects(call.organisation_id)
        found = [each.project_id for each in projects if call.may(permission, each.project_id)]
        if not found:
            call.require(permission)
        return found


def costs_of(bucket: Bucket, prices: Prices, *, by_item: bool) -> list[Json]:
    """A result for each group, and line item if *by_item*. What has no price costs nothing."""
    sums: dict[tuple[str | None, str | None, str | None, str | None], Decimal] = {}
    for group, (_, usage) in bucket.sums.items():
        model = prices.models.get(group.model or "")
        costs: Mapping[LineItem, Decimal] = {} if model is None else model.cost_of(usage)
        for item, cost in costs.items():
            line = f"{group.model}, {item}" if by_item else None
            key = (group.project_id, group.api_key_id, group.user_id, line)
            sums[key] = sums.get(key, Decimal(0)) + cost
    return [
        {
            "object": "organization.costs.result",
            # A number, as OpenAI has it; the text is exact.
            "amount": {
                "value": float(cost),
                "exact_value": format(cost.normalize(), "f"),
                "currency": prices.currency,
            },
            "line_item": line,
            "project_id": project_id,
            "api_key_id": kid,
            "user_id": user_id,
            "quantity": None,
            "quantity_unit": None,
            "api_source": None,
        }
        for (project_id, kid, user_id, line), cost in sums.items()
    ]


def _check_entry_id(text: str) -> None:
    """Raises ApiError: 400. A moment alone, in ms, will do."""
    if not query.is_entry_id(text if "-" in text else f"{text}-0"):
        raise administration_errors.invalid_value(
            "after", "it is no id of an entry, such as 1795348800123-0."
        )
