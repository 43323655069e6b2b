"""A POST that a generation answers: stations 1 to 3, then `create_response` does the rest.

Which API it is -- responses or chat completions -- decides how the body is read
and how the answer is spelled, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from gateway.asgi.authentication import Authenticator
from gateway.asgi.body import Bodies, Body
from gateway.asgi.boundary import body_sender_of, remember_caller, telemetry_of
from gateway.asgi.disconnect import while_connected
from gateway.asgi.replies import Encoder, StreamReply, WholeReply
from gateway.asgi.response_id import new_response_id
from gateway.asgi.served_model import ServedModel
from gateway.create_response import create_response
from gateway.responses.dialect import ObjectName
from gateway.responses.errors import ApiError
from gateway.responses.events import Json
from gateway.responses.request import CreateResponse
from gateway.stations import Caller, Stations


class Asked(Protocol):
    """A valid request, and the words in which its client wants the answer."""

    @property
    def request(self) -> CreateResponse: ...

    @property
    def object_name(self) -> ObjectName: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Of the answer, beside the usual."""

    def encoder(self, response_id: str) -> Encoder:
        """For the events of a stream."""

    def whole(self, response: Json) -> Json:
        """The answer that is not streamed, from the response that has ended."""

    def told(self, error: ApiError) -> ApiError:
        """*error* with the names that this API has for the fields of the request."""


class Api(Protocol):
    """One way to ask for a generation."""

    @property
    def route(self) -> str:
        """The word for it in metrics and logs."""

    def read(self, http: Request, body: Mapping[str, object]) -> Asked:
        """Raises ApiError: 400 naming the first field that is wrong."""


class GenerationEndpoint:
    """An ASGI application: it needs `receive` to see a client leave."""

    def __init__(
        self,
        api: Api,
        authenticator: Authenticator,
        stations: Stations,
        model: ServedModel,
        bodies: Bodies,
        *,
        keep_alive_s: float,
    ) -> None:
        self._api = api
        self._authenticator = authenticator
        self._stations = stations
        self._model = model
        self._bodies = bodies
        self._keep_alive_s = keep_alive_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = Request(scope, receive)
        telemetry = telemetry_of(scope)
        telemetry.route = self._api.route

        # 2 authenticate, before a byte of the body is read.
        telemetry.enter("authenticate")
        caller = await self._authenticator.caller_of(http)
        remember_caller(scope, caller)

        # 1 accept
        telemetry.enter("receive")
        try:
            body = await self._bodies.receive(http, caller.project_id)
        except ClientDisconnect:
            return
        with body:
            await self._read_and_answer(http, body, caller, scope, receive, send)

    async def _read_and_answer(
        self,
        http: Request,
        body: Body,
        caller: Caller,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        # 3 validate
        telemetry_of(scope).enter("validate")
        reading = partial(self._bodies.read, body, caller.project_id, partial(self._api.read, http))
        # A short one is read before the loop could hear that somebody leaves.
        asked = await (reading() if body.is_short else while_connected(receive, reading))
        if asked is None:
            return
        telemetry_of(scope).streamed = asked.request.stream
        try:
            self._model.check(asked.request)
            # 2 again, now that they are known.
            caller = await self._authenticator.caller_asking(
                http, caller, model=self._model.name, service_tier=asked.request.service_tier
            )
            await self._answer(asked, body, caller, scope, receive, send)
        except ApiError as error:
            raise asked.told(error) from error.__cause__

    async def _answer(
        self,
        asked: Asked,
        body: Body,
        caller: Caller,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Stations 4 to 8."""
        telemetry = telemetry_of(scope)
        response_id = telemetry.response_id = new_response_id()

        async def answer_through(reply: StreamReply | WholeReply) -> None:
            await create_response(
                asked.request,
                caller,
                response_id,
                reply,
                telemetry,
                self._stations,
                body_bytes=body.length,
                object_name=asked.object_name,
            )
            await reply.end()

        if asked.request.stream:
            stream = StreamReply(
                send,
                asked.encoder(response_id),
                asked.headers,
                send_body=body_sender_of(scope),
                on_start=body.release,
            )

            async def answer_streamed() -> None:
                with stream.kept_alive(self._keep_alive_s):
                    await answer_through(stream)

            await while_connected(receive, answer_streamed)
        else:
            whole = WholeReply(
                send,
                asked.whole,
                asked.headers,
                send_body=body_sender_of(scope),
                on_start=body.release,
            )
            await while_connected(receive, lambda: answer_through(whole))
