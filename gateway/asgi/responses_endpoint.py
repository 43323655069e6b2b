"""POST /v1/responses: stations 1 to 3, then `create_response` does the rest."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Never

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from gateway.asgi.authentication import Authenticator
from gateway.asgi.body import BodyLimits, read_json_body
from gateway.asgi.boundary import telemetry_of
from gateway.asgi.disconnect import while_connected
from gateway.asgi.replies import StreamReply, WholeReply
from gateway.asgi.response_id import new_response_id
from gateway.create_response import Stations, create_response
from gateway.responses import errors
from gateway.responses.dialect import OPEN_RESPONSES, OPEN_RESPONSES_HEADER, Dialect
from gateway.responses.json_body import parse_json_object
from gateway.responses.request import CreateResponse
from gateway.responses.sse import EventEncoder
from gateway.responses.unserved import refuse_what_is_not_served
from gateway.responses.validation import validated


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The model as clients name it."""

    name: str
    aliases: Collection[str]
    max_output_tokens: int

    def check(self, request: CreateResponse) -> None:
        """Raises ApiError: another model, or more output than it gives."""
        if request.model != self.name and request.model not in self.aliases:
            raise errors.model_not_found(request.model, self.name)
        if (request.max_output_tokens or 0) > self.max_output_tokens:
            raise errors.invalid_request(
                f"Invalid 'max_output_tokens': expected a value <= {self.max_output_tokens}.",
                code="integer_above_max_value",
                param="max_output_tokens",
            )


class ResponsesEndpoint:
    """An ASGI application: it needs `receive` to see a client leave."""

    def __init__(
        self,
        authenticator: Authenticator,
        stations: Stations,
        model: ServedModel,
        body_limits: BodyLimits,
        *,
        dialect: Dialect,
        keep_alive_s: float,
    ) -> None:
        """*dialect* is for clients that ask for none."""
        self._dialect = dialect
        self._authenticator = authenticator
        self._stations = stations
        self._model = model
        self._body_limits = body_limits
        self._keep_alive_s = keep_alive_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = Request(scope, receive)
        telemetry = telemetry_of(scope)
        telemetry.route = "responses"

        # 2 authenticate, before a byte of the body is read.
        caller = await self._authenticator.caller_of(http)
        telemetry.kid, telemetry.project_id = caller.kid, caller.project_id

        # 1 accept
        try:
            body = await read_json_body(http, self._body_limits)
        except ClientDisconnect:
            return

        # 3 validate
        request = validated(CreateResponse, parse_json_object(body))
        telemetry.streamed = request.stream
        self._model.check(request)
        refuse_what_is_not_served(request)

        response_id = telemetry.response_id = new_response_id()
        dialect, dialect_headers = self._dialect_of(http)

        # 4 to 8
        if request.stream:
            encoder = EventEncoder(response_id, self._model.name, dialect)
            stream = StreamReply(send, encoder, dialect_headers)

            async def work() -> None:
                await create_response(
                    request,
                    caller,
                    response_id,
                    stream,
                    telemetry,
                    self._stations,
                    object_name=dialect.object_name,
                )
                await stream.end()

            async def keep_alive() -> Never:
                await stream.keep_alive(self._keep_alive_s)

            await while_connected(receive, work, keep_alive)
        else:
            whole = WholeReply(dialect_headers)

            async def work() -> None:
                await create_response(
                    request,
                    caller,
                    response_id,
                    whole,
                    telemetry,
                    self._stations,
                    object_name=dialect.object_name,
                )
                await whole.end(send)

            await while_connected(receive, work)

    def _dialect_of(self, http: Request) -> tuple[Dialect, dict[str, str]]:
        """What the client speaks, and the headers that confirm it."""
        version = http.headers.get(OPEN_RESPONSES_HEADER)
        if version is None:
            return self._dialect, {}
        return OPEN_RESPONSES, {OPEN_RESPONSES_HEADER: version[:64]}
