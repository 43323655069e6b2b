"""The outermost layer: every request gets an id, and a line in the log.

An exception that reaches this layer is a bug of ours. The tenant has got a 500
that says nothing of it (`tenant_api.py`), the log gets all of it.
"""

from __future__ import annotations

import logging
import re
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.asgi.answers import error_answer
from gateway.asgi.in_flight import RequestsInFlight
from gateway.iam.api_key import holds_secret
from gateway.responses import errors
from gateway.stations import Caller
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.request import RequestTelemetry
from gateway.telemetry.traces import UNTRACED, Tracing

_log = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


class RequestBoundary:
    """Plain ASGI middleware around the whole application."""

    def __init__(
        self,
        app: ASGIApp,
        in_flight: RequestsInFlight,
        metrics: Metrics,
        tracing: Tracing = UNTRACED,
    ) -> None:
        self._app = app
        self._in_flight = in_flight
        self._metrics = metrics
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        telemetry = RequestTelemetry(
            self._metrics,
            request_id=_request_id(scope),
            method=scope["method"],
            trace=self._tracing.of_request(scope["method"], scope["headers"]),
        )
        scope.setdefault("state", {}).update(telemetry=telemetry, send_body=send)
        status: int | None = None

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = telemetry.request_id
            await send(message)

        try:
            with self._in_flight.one() as until_the_end:
                with until_the_end:
                    await self._app(scope, receive, send_with_id)
                if until_the_end.cancel_called and status is None:
                    telemetry.error_code = "shutting_down"
                    await error_answer(errors.shutting_down())(scope, receive, send_with_id)
        except Exception:  # noqa: BLE001
            _log.exception("request %s failed", telemetry.request_id)
        finally:
            telemetry.close(status)


def telemetry_of(scope: Scope) -> RequestTelemetry:
    telemetry: RequestTelemetry = scope["state"]["telemetry"]
    return telemetry


def body_sender_of(scope: Scope) -> Send:
    """The server's own `send`, for the body of an answer that has begun.

    What Starlette puts before it, and this module, look at how an answer begins; a body
    would only pass through them, a coroutine each for every event.
    """
    send: Send = scope["state"]["send_body"]
    return send


def remember_caller(scope: Scope, caller: Caller) -> None:
    """Who asks, for the log, and for whoever tells an error."""
    telemetry = telemetry_of(scope)
    telemetry.kid, telemetry.project_id = caller.kid, caller.project_id
    scope["state"]["caller"] = caller


def caller_known_of(scope: Scope) -> Caller | None:
    """None before station 2 has let the request in."""
    caller: Caller | None = scope["state"].get("caller")
    return caller


def _request_id(scope: Scope) -> str:
    """The client's own id if it sends a harmless one, so that both sides can find it."""
    sent = Headers(scope=scope).get("x-request-id")
    if sent is not None and _REQUEST_ID.fullmatch(sent) and not holds_secret(sent):
        return sent
    return new_request_id()


def new_request_id() -> str:
    return f"req_{secrets.token_hex(16)}"
