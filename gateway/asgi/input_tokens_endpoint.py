"""POST /v1/responses/input_tokens: how long a request's prompt is, without generating."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from gateway.asgi.answers import json_answer
from gateway.asgi.authentication import Authenticator
from gateway.asgi.body import BodyLimits, read_json_body
from gateway.asgi.boundary import telemetry_of
from gateway.asgi.rate_limits import RateLimitHeaders
from gateway.asgi.served_model import ServedModel
from gateway.create_response import Stations, render_prompt
from gateway.responses.json_body import parse_json_object
from gateway.responses.request import CreateResponse
from gateway.responses.validation import validated


class InputTokensEndpoint:
    """Takes the body of a request for a response; the count is exact."""

    def __init__(
        self,
        authenticator: Authenticator,
        stations: Stations,
        model: ServedModel,
        body_limits: BodyLimits,
        rate_limits: RateLimitHeaders,
    ) -> None:
        self._authenticator = authenticator
        self._stations = stations
        self._model = model
        self._body_limits = body_limits
        self._rate_limits = rate_limits

    async def count(self, http: Request) -> Response:
        telemetry = telemetry_of(http.scope)
        telemetry.route = "input_tokens"
        caller = await self._authenticator.caller_of(http)
        telemetry.kid, telemetry.project_id = caller.kid, caller.project_id
        sent = await read_json_body(http, caller.project_id, self._body_limits)
        body = parse_json_object(sent)
        # Optional here: there is but one model.
        request = validated(CreateResponse, {"model": self._model.name, **body})
        self._model.check(request)
        prompt = await render_prompt(request, caller, self._stations)
        return json_answer(
            {"object": "response.input_tokens", "input_tokens": len(prompt)},
            headers=await self._rate_limits.of(caller.project_id),
        )
