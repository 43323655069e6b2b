"""POST /v1/responses: how its requests are read and its answers spelled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request

from gateway.asgi.boundary import telemetry_of
from gateway.responses.dialect import OPEN_RESPONSES, OPEN_RESPONSES_HEADER, Dialect, ObjectName
from gateway.responses.errors import ApiError
from gateway.responses.events import Json
from gateway.responses.request import CreateResponse
from gateway.responses.sse import EventEncoder
from gateway.responses.tools import without_unsupported_tools
from gateway.responses.validation import validated


class ResponsesApi:
    route = "responses"

    def __init__(
        self, dialect: Dialect, *, model: str, drop_unsupported_tools: bool = False
    ) -> None:
        """*dialect* is for clients that ask for none; *model* the name to answer under.

        *drop_unsupported_tools*: as if they had not been sent, rather than a 400.
        """
        self._dialect = dialect
        self._model = model
        self._drop_unsupported_tools = drop_unsupported_tools

    def read(self, http: Request, body: Mapping[str, object]) -> AskedForResponse:
        if self._drop_unsupported_tools:
            body, dropped = without_unsupported_tools(body)
            if dropped:
                telemetry_of(http.scope).dropped("tool", dropped)
        request = validated(CreateResponse, body)
        version = http.headers.get(OPEN_RESPONSES_HEADER)
        if version is None:
            return AskedForResponse(request, self._model, self._dialect, {})
        confirmed = {OPEN_RESPONSES_HEADER: version[:64]}
        return AskedForResponse(request, self._model, OPEN_RESPONSES, confirmed)


@dataclass(frozen=True, slots=True)
class AskedForResponse:
    request: CreateResponse
    model: str
    dialect: Dialect
    headers: Mapping[str, str]

    @property
    def object_name(self) -> ObjectName:
        return self.dialect.object_name

    def encoder(self, response_id: str) -> EventEncoder:
        return EventEncoder(response_id, self.model, self.dialect)

    def whole(self, response: Json) -> Json:
        return response

    def told(self, error: ApiError) -> ApiError:
        return error
