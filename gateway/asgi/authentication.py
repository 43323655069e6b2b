"""Station 2: from the Authorization header to the caller."""

from __future__ import annotations

import logging
from typing import Protocol

from starlette.requests import Request

from gateway.iam.policy import Forbidden, choose_project
from gateway.responses import errors
from gateway.stations import Caller
from gateway.store.directory import Grant, Unauthenticated

_log = logging.getLogger(__name__)


class Directory(Protocol):
    """Who knows the keys."""

    async def authenticate(self, token: str) -> Grant | Unauthenticated: ...

    def invalidate(self, kid: str) -> None: ...


class Authenticator:
    """Turns requests into callers."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def caller_of(self, request: Request) -> Caller:
        """Raises ApiError: 401, or 403 for the project in the path; StoreUnavailable."""
        grant = await self._directory.authenticate(_bearer_token(request))
        if isinstance(grant, Unauthenticated):
            _log.info("key refused: %s", grant.value)
            raise errors.invalid_key()
        principal = grant.principal
        project_id = choose_project(principal, request.path_params.get("project_id"))
        if isinstance(project_id, Forbidden):
            raise errors.project_forbidden()

        async def refreshed() -> Caller:
            self._directory.invalidate(principal.kid)
            return await self.caller_of(request)

        return Caller(
            kid=principal.kid,
            project_id=project_id,
            config_version=grant.projects[project_id].version,
            refreshed=refreshed,
        )


def _bearer_token(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if not scheme:
        raise errors.missing_key()
    if scheme.lower() != "bearer" or not token.strip():
        raise errors.invalid_key()
    return token.strip()
