"""The edge of the application: what happens when we are the ones who are wrong."""

from __future__ import annotations

import httpx
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response

from gateway.asgi.in_flight import RequestsInFlight
from gateway.asgi.tenant_api import tenant_api
from gateway.telemetry.metrics import Metrics


class Broken:
    """Every endpoint in one, and a bug in each."""

    async def list(self, request: Request) -> Response:
        raise ZeroDivisionError("a bug with the tenant's secret in it")

    retrieve = count = list

    async def of(self, project_id: str | None) -> dict[str, str]:
        return {}


async def test_a_bug_is_answered_like_any_error_and_tells_nothing() -> None:
    broken = Broken()
    registry = CollectorRegistry()
    app = tenant_api(
        broken.list,  # type: ignore[arg-type]
        broken.list,  # type: ignore[arg-type]
        broken,  # type: ignore[arg-type]
        broken,  # type: ignore[arg-type]
        broken,  # type: ignore[arg-type]
        RequestsInFlight(),
        Metrics(registry, model="m"),
        version="0",
    )
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answer = await client.get("/v1/models")

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.json()["error"]["code"] == "internal_error"
    assert "secret" not in answer.text
    assert registry.get_sample_value("gw_rejections_total", {"reason": "internal_error"}) == 1
