"""Who asks the admin API, and what they may do there."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from starlette.requests import Request

from gateway.asgi.authentication import Credentials, bearer_token
from gateway.iam.conditions import RequestFacts
from gateway.iam.decision import Denied, Grant, Target, decide
from gateway.iam.permissions import Permission
from gateway.responses import administration_errors

BOOTSTRAP = "bootstrap"


@dataclass(frozen=True, slots=True)
class Administrator:
    """Whoever has shown that they are; made by `Administrators` alone."""

    kid: str  # of the key; the principal's id with a provider's token, or BOOTSTRAP
    principal_id: str  # or BOOTSTRAP
    organisation_id: str | None  # None: of all
    facts: RequestFacts  # from where, and with what
    _grant: Grant | None = field(repr=False)  # None: everything, everywhere

    def may(self, permission: Permission, target: Target) -> bool:
        """Whether they may do that to a project, or to an organisation itself."""
        return self._grant is None or not isinstance(
            decide(self._grant, permission, target, self.facts), Denied
        )

    def require(self, permission: Permission, target: Target | None) -> None:
        """Raises ApiError, 403, unless they may; None is a project that does not exist."""
        if target is None or not self.may(permission, target):
            raise administration_errors.permission_denied()


class Administrators:
    """Authenticates requests of the admin API."""

    def __init__(self, credentials: Credentials, *, bootstrap_key: str | None) -> None:
        """*credentials*: of the kind "admin", over a directory that caches nothing.

        *bootstrap_key*: the token that may do everything; none if it is None.
        """
        self._credentials = credentials
        self._bootstrap = None if bootstrap_key is None else _digest(bootstrap_key)

    async def administrator_of(self, request: Request) -> Administrator:
        """Raises ApiError: 401, or 429 for a source of wrong keys; StoreUnavailable."""
        facts = self._credentials.facts_of(request)
        # Hashed, so that neither its length nor where it differs can be measured.
        if self._bootstrap is not None and hmac.compare_digest(
            _digest(bearer_token(request)), self._bootstrap
        ):
            return Administrator(BOOTSTRAP, BOOTSTRAP, None, facts, None)
        bearer = await self._credentials.bearer_of(request, facts, None)
        return Administrator(
            bearer.kid, bearer.principal_id, bearer.organisation_id, facts, bearer.grant
        )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
