"""POST /v1/responses/input_tokens: how long a request's prompt is, without generating."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gateway.asgi.answers import json_answer
from gateway.asgi.authentication import Authenticator
from gateway.asgi.body import Bodies, Body
from gateway.asgi.boundary import remember_caller, telemetry_of
from gateway.asgi.disconnect import while_connected
from gateway.asgi.rate_limits import RateLimitHeaders
from gateway.asgi.served_model import ServedModel
from gateway.create_response import render_prompt
from gateway.responses.request import CreateResponse
from gateway.responses.validation import validated
from gateway.stations import Caller, Stations
from gateway.telemetry.request import RequestTelemetry

# Longer than any context, so that a client learns by how much to shorten its input.
MAX_TOKENS_COUNTED = 1_000_000


class InputTokensEndpoint:
    """Takes the body of a request for a response; the count is exact."""

    def __init__(
        self,
        authenticator: Authenticator,
        stations: Stations,
        model: ServedModel,
        bodies: Bodies,
        rate_limits: RateLimitHeaders,
    ) -> None:
        self._authenticator = authenticator
        self._stations = stations
        self._model = model
        self._bodies = bodies
        self._rate_limits = rate_limits

    async def count(self, http: Request) -> Response:
        telemetry = telemetry_of(http.scope)
        telemetry.route = "input_tokens"
        telemetry.enter("authenticate")
        caller = await self._authenticator.caller_of(http, model=self._model.name)
        remember_caller(http.scope, caller)
        telemetry.enter("receive")
        with await self._bodies.receive(http, caller.project_id) as body:
            telemetry.enter("validate")
            prompt = await while_connected(
                http.receive, lambda: self._prompt(body, caller, telemetry)
            )
        if prompt is None:
            raise ClientDisconnect
        return json_answer(
            {"object": "response.input_tokens", "input_tokens": len(prompt)},
            headers=await self._rate_limits.of(caller),
        )

    async def _prompt(
        self, body: Body, caller: Caller, telemetry: RequestTelemetry
    ) -> Sequence[int]:
        request = await self._bodies.read(body, caller.project_id, self._meaning)
        self._model.check(request)
        telemetry.enter("render")
        return await render_prompt(
            request,
            caller,
            self._stations,
            body_bytes=body.length,
            max_tokens=MAX_TOKENS_COUNTED,
        )

    def _meaning(self, body: Mapping[str, object]) -> CreateResponse:
        # Optional here: there is but one model.
        return validated(CreateResponse, {"model": self._model.name, **body})
