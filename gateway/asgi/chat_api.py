"""POST /v1/chat/completions: how its requests are read and its answers spelled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request

from gateway.asgi.boundary import telemetry_of
from gateway.chat.chunks import ChunkEncoder
from gateway.chat.completion import completion_of
from gateway.chat.translation import Chat, chat_of
from gateway.responses.dialect import ObjectName
from gateway.responses.errors import ApiError
from gateway.responses.events import Json
from gateway.responses.request import CreateResponse
from gateway.responses.tools import without_unsupported_tools


class ChatApi:
    route = "chat"

    def __init__(self, *, drop_unsupported_tools: bool = False) -> None:
        """*drop_unsupported_tools*: as if they had not been sent, rather than a 400."""
        self._drop_unsupported_tools = drop_unsupported_tools

    def read(self, http: Request, body: Mapping[str, object]) -> AskedForCompletion:
        if self._drop_unsupported_tools:
            body, dropped = without_unsupported_tools(body)
            if dropped:
                telemetry_of(http.scope).dropped("tool", dropped)
        return AskedForCompletion(chat_of(body))


@dataclass(frozen=True, slots=True)
class AskedForCompletion:
    chat: Chat

    @property
    def request(self) -> CreateResponse:
        return self.chat.request

    @property
    def object_name(self) -> ObjectName:
        return "chat.completion"

    @property
    def headers(self) -> Mapping[str, str]:
        return {}

    def encoder(self, response_id: str) -> ChunkEncoder:
        return ChunkEncoder(self.chat.words, include_usage=self.chat.include_usage)

    def whole(self, response: Json) -> Json:
        return completion_of(response)

    def told(self, error: ApiError) -> ApiError:
        return self.chat.words.told(error)
