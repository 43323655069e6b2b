"""The application that operators and Kubernetes reach: probes and metrics, on a port of its own.

/healthz   200 while the process can answer at all; else it should be restarted
/readyz    200 while it can serve: not draining, Redis answers, a worker is up
/metrics   for Prometheus; also while draining
/log-level GET tells it; PUT ?level=DEBUG&seconds=600 changes it for a while
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway.telemetry.log_level import DEFAULT_S, LogLevel

# What keeps the gateway from serving, in words; None when nothing does.
ReadinessCheck = Callable[[], Awaitable[str | None]]


class Scrapes:
    """For who has something to tell by metrics, and has to know that it was heard."""

    def __init__(self) -> None:
        self._next = anyio.Event()

    def begin(self) -> Callable[[], None]:
        """The figures of now are read; call what is returned when they were sent."""
        begun, self._next = self._next, anyio.Event()
        return begun.set

    async def one_of_now(self) -> None:
        """Wait until figures were sent that were read after this call."""
        await self._next.wait()


def _seconds(request: Request) -> float:
    """Raises ValueError."""
    text = request.query_params.get("seconds", "")
    try:
        return float(text) if text else DEFAULT_S
    except ValueError:
        raise ValueError(f"seconds must be a number, not {text[:40]!r}") from None


def ops_api(
    registry: CollectorRegistry,
    why_not_ready: ReadinessCheck,
    log_level: LogLevel,
    scrapes: Scrapes,
) -> ASGIApp:
    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        reason = await why_not_ready()
        if reason is None:
            return PlainTextResponse("ready\n")
        return PlainTextResponse(f"not ready: {reason}\n", status_code=503)

    async def metrics(request: Request) -> Response:
        try:
            encode, content_type = choose_encoder(request.headers.get("accept", ""))
        except (TypeError, ValueError):
            # It understands some of what Prometheus may ask for, and fails at the rest.
            encode, content_type = choose_encoder("")
        sent = scrapes.begin()
        return Response(
            encode(registry),
            headers={"content-type": content_type},
            background=BackgroundTask(sent),
        )

    async def level(request: Request) -> Response:
        if request.method == "PUT":
            try:
                log_level.set(request.query_params.get("level", ""), _seconds(request))
            except ValueError as exc:
                usage = "PUT /log-level?level=DEBUG&seconds=600"
                return PlainTextResponse(f"{exc}; for example: {usage}\n", status_code=400)
        told = f"{log_level.now}\n"
        if log_level.seconds_left:
            told = f"{log_level.now} for {log_level.seconds_left:.0f} s more\n"
        return PlainTextResponse(told)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            Route("/log-level", level, methods=["GET", "PUT"]),
        ]
    )
