"""The edge of the application: what happens when we are the ones who are wrong."""

from __future__ import annotations

import re

import httpx
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway.asgi.boundary import RequestBoundary
from gateway.asgi.in_flight import RequestsInFlight
from gateway.asgi.tenant_api import tenant_api
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.traces import UNTRACED


class Broken:
    """Every endpoint in one, and a bug in each."""

    async def list(self, request: Request) -> Response:
        raise ZeroDivisionError("a bug with the tenant's secret in it")

    retrieve = count = limits = usage = list

    async def of(self, caller: object) -> dict[str, str]:
        return {}


def an_api(registry: CollectorRegistry) -> RequestBoundary:
    broken = Broken()
    boundary = tenant_api(
        broken.list,  # type: ignore[arg-type]
        broken.list,  # type: ignore[arg-type]
        broken,  # type: ignore[arg-type]
        broken,  # type: ignore[arg-type]
        broken,  # type: ignore[arg-type]
        broken,  # type: ignore[arg-type]
        RequestsInFlight(),
        Metrics(registry, model="m"),
        UNTRACED,
        version="0",
    )
    assert isinstance(boundary, RequestBoundary)
    return boundary


def a_client(app: ASGIApp) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://gateway")


async def test_every_route_is_described_but_those_of_the_description() -> None:
    boundary = an_api(CollectorRegistry())
    async with a_client(boundary) as client:
        document = (await client.get("/openapi.json")).json()

    app = boundary._app
    assert isinstance(app, Starlette)
    served = set()
    for route in app.routes:
        assert isinstance(route, Route), route
        path = re.sub(r":\w+\}", "}", route.path)
        served |= {(method, path) for method in (route.methods or {"any"}) - {"HEAD"}}
    assert served - {("GET", "/openapi.json"), ("GET", "/docs")} == {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
    }


async def test_a_bug_is_answered_like_any_error_and_tells_nothing() -> None:
    registry = CollectorRegistry()
    async with a_client(an_api(registry)) as client:
        answer = await client.get("/v1/models")

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.json()["error"]["code"] == "internal_error"
    assert "secret" not in answer.text
    assert registry.get_sample_value("gw_rejections_total", {"reason": "internal_error"}) == 1
