"""GET /v1/models and /v1/models/{id}: what this deployment serves."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from gateway.asgi.answers import json_answer
from gateway.asgi.authentication import Authenticator
from gateway.asgi.boundary import remember_caller, telemetry_of
from gateway.asgi.rate_limits import RateLimitHeaders
from gateway.asgi.served_model import ServedModel
from gateway.responses import errors


class ModelsEndpoint:
    def __init__(
        self,
        authenticator: Authenticator,
        model: ServedModel,
        rate_limits: RateLimitHeaders,
        *,
        created: int,
    ) -> None:
        """*created*: Unix time in seconds since when the model is served."""
        self._authenticator = authenticator
        self._model = model
        self._rate_limits = rate_limits
        self._created = created

    async def list(self, request: Request) -> Response:
        headers = await self._authenticate(request)
        return json_answer({"object": "list", "data": [self._described()]}, headers=headers)

    async def retrieve(self, request: Request) -> Response:
        headers = await self._authenticate(request)
        name = request.path_params["model"]
        if name != self._model.name and name not in self._model.aliases:
            raise errors.model_not_found(name, self._model.name)
        return json_answer(self._described(), headers=headers)

    async def _authenticate(self, request: Request) -> dict[str, str]:
        """The headers of the answer. Raises ApiError."""
        telemetry_of(request.scope).route = "models"
        caller = await self._authenticator.caller_of(request, model=self._model.name)
        remember_caller(request.scope, caller)
        return await self._rate_limits.of(caller)

    def _described(self) -> dict[str, object]:
        return {
            "id": self._model.name,
            "object": "model",
            "created": self._created,
            "owned_by": "openai",
        }
