"""GET /v1/models and /v1/models/{id}: what this deployment serves."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from gateway.asgi.answers import json_answer
from gateway.asgi.authentication import Authenticator
from gateway.asgi.boundary import telemetry_of
from gateway.asgi.responses_endpoint import ServedModel
from gateway.responses import errors


class ModelsEndpoint:
    def __init__(self, authenticator: Authenticator, model: ServedModel, *, created: int) -> None:
        """*created*: Unix time in seconds since when the model is served."""
        self._authenticator = authenticator
        self._model = model
        self._created = created

    async def list(self, request: Request) -> Response:
        await self._authenticate(request)
        return json_answer({"object": "list", "data": [self._described()]})

    async def retrieve(self, request: Request) -> Response:
        await self._authenticate(request)
        name = request.path_params["model"]
        if name != self._model.name and name not in self._model.aliases:
            raise errors.model_not_found(name, self._model.name)
        return json_answer(self._described())

    async def _authenticate(self, request: Request) -> None:
        telemetry = telemetry_of(request.scope)
        telemetry.route = "models"
        caller = await self._authenticator.caller_of(request)
        telemetry.kid, telemetry.project_id = caller.kid, caller.project_id

    def _described(self) -> dict[str, object]:
        return {
            "id": self._model.name,
            "object": "model",
            "created": self._created,
            "owned_by": "openai",
        }
