"""The admin API, asked: over HTTP, or in this process when there is no gateway to ask yet.

With GATEWAY_ADMIN_URL it is a gateway's; otherwise the same API is put together here, over
REDIS_URL: to begin with, in jobs that prepare an installation, and when no gateway is up.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from gateway.gwctl.complaint import Complaint
from gateway.gwctl.environment import Environment

Json = dict[str, Any]
TIMEOUT_S = 60.0
PAGE = 100
# Tells whose change it was, where no key does: in the audit log's user agent.
LOCAL_USER_AGENT = "gwctl without a gateway"


def given(**fields: object) -> dict[str, object]:
    """What was said on the command line: without those that are None."""
    return {name: value for name, value in fields.items() if value is not None}


class AdminClient:
    """Every method raises Complaint: what the API refused, or why it cannot be asked."""

    def __init__(self, client: httpx.AsyncClient, *, unreachable: str) -> None:
        """*unreachable*: the beginning of a sentence that ends with the reason."""
        self._client = client
        self._unreachable = unreachable

    async def get(self, path: str, **query: object) -> Json:
        return await self._ask("GET", path, query=query)

    async def post(self, path: str, body: Mapping[str, object] | None = None) -> Json:
        return await self._ask("POST", path, body=body or {})

    async def delete(self, path: str) -> Json:
        return await self._ask("DELETE", path)

    async def all(self, path: str, **query: object) -> list[Json]:
        """All pages of a list."""
        found: list[Json] = []
        after: str | None = None
        while True:
            page = await self.get(path, **query, limit=PAGE, after=after)
            found += page["data"]
            if not page["has_more"]:
                return found
            after = page["last_id"]

    async def all_buckets(self, path: str, **query: object) -> list[Json]:
        """All pages of usage or costs."""
        found: list[Json] = []
        next_page: str | None = None
        while True:
            page = await self.get(path, **query, page=next_page)
            found += page["data"]
            if not page["has_more"]:
                return found
            next_page = page["next_page"]

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> Json:
        asked = given(**(query or {}))
        try:
            answer = await self._client.request(
                method,
                path,
                params=asked,  # type: ignore[arg-type]  # texts, numbers, and lists of them
                json=body,
            )
        except httpx.HTTPError as exc:
            reason = " ".join(str(exc).split()) or type(exc).__name__
            raise Complaint(f"{self._unreachable} ({reason.rstrip('. ')}).") from exc
        try:
            told: Json = answer.json()
        except ValueError as exc:
            raise Complaint(
                f"GATEWAY_ADMIN_URL leads to something that is no admin API: it answered"
                f" {answer.status_code}, and no JSON."
            ) from exc
        if answer.is_success:
            return told
        raise _complaint(told)


def _complaint(told: Json) -> Complaint:
    error = told.get("error", {})
    message = str(error.get("message", "The gateway refused, and did not say why."))
    if error.get("code") == "no_such_object" and message.startswith("There is no project"):
        message = f"{message.rstrip('.')}; `gwctl project list` shows all."
    return Complaint(message, code=error.get("code"))


@asynccontextmanager
async def open_admin_client(
    environment: Environment, *, organisation_id: str | None, needs_peppers: bool
) -> AsyncIterator[AdminClient]:
    """Raises Complaint for what is missing or wrong in the environment."""
    headers = {} if organisation_id is None else {"openai-organization": organisation_id}
    if environment.admin_url is not None:
        headers["authorization"] = f"Bearer {environment.required_admin_key()}"
        async with httpx.AsyncClient(
            base_url=environment.admin_url,
            headers={**headers, "user-agent": "gwctl"},
            verify=environment.tls_context(),
            timeout=TIMEOUT_S,
            # It would send the key of an administrator through somebody else's hands.
            trust_env=False,
        ) as client:
            yield AdminClient(client, unreachable="The gateway at GATEWAY_ADMIN_URL is not there")
        return
    async with _without_a_gateway(environment, headers, needs_peppers) as client:
        yield AdminClient(client, unreachable="Redis is not available")


@asynccontextmanager
async def _without_a_gateway(
    environment: Environment, headers: Mapping[str, str], needs_peppers: bool
) -> AsyncIterator[httpx.AsyncClient]:
    # Only here: it takes a third of a second to import what a gateway is made of.
    from prometheus_client import CollectorRegistry

    from gateway.asgi.admin.build import build_admin_api
    from gateway.telemetry.metrics import Metrics

    peppers = environment.peppers(required=needs_peppers)
    key = secrets.token_urlsafe(32)
    async with environment.open_store() as store:
        await environment.require_redis(store)
        app = build_admin_api(
            store,
            peppers,
            Metrics(CollectorRegistry(), model=environment.model),
            model=environment.model,
            bootstrap_key=key,
            prices=environment.prices(),
        )
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app, client=("127.0.0.1", 0)),
            base_url="http://localhost",
            headers={
                **headers,
                "authorization": f"Bearer {key}",
                "user-agent": LOCAL_USER_AGENT,
            },
        ) as client:
            yield client
