"""Station 2: from the Authorization header to the caller, who may ask for this project.

Everything derives from the route's match (`path_params`), the header and the peer: never
from `request.url`, which a client's Host header can bend.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, assert_never

from starlette.requests import Request

from gateway.denylist import Denylist
from gateway.iam import api_key
from gateway.iam.address import client_address, source_of
from gateway.iam.api_key import ApiKey, KeyKind
from gateway.iam.conditions import USUAL_TIERS, RequestFacts
from gateway.iam.decision import Denied, Target, decide
from gateway.iam.permissions import Permission
from gateway.iam.project_id import is_project_id
from gateway.iam.providers import External
from gateway.oidc import ProviderUnavailable
from gateway.quota.service_tier import ServiceTier, acceptable_tiers
from gateway.responses import errors
from gateway.responses.errors import ApiError
from gateway.stations import Caller
from gateway.store.directory import Bearer, Directory, Throttled, Unauthenticated
from gateway.store.errors import StoreUnavailable

_log = logging.getLogger(__name__)

# A caller who is denied by what is cached may have been allowed since.
DENIED_MAX_AGE_S = 5.0


class Tokens(Protocol):
    """Verifies the tokens of identity providers."""

    def may_be_token(self, text: str) -> bool: ...

    async def verify(self, text: str) -> External | str:
        """Whom it names, or why it is refused, for the log. Raises ProviderUnavailable."""


class Credentials:
    """From a request to its bearer, of one kind: what tenant and admin API have in common."""

    def __init__(
        self,
        directory: Directory,
        kind: KeyKind,
        *,
        tokens: Tokens | None = None,
        trusted_proxy_hops: int = 0,
        denylist: Denylist | None = None,
        observe: Callable[[str], None] = lambda result: None,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        """*observe* is told how each authentication ended, in a word; *denylist*: who is refused
        whatever the directory says."""
        self._directory = directory
        self._kind = kind
        self._tokens = tokens
        self._hops = trusted_proxy_hops
        self._denylist = denylist or Denylist(None)
        self._observe = observe
        self._unix_time = unix_time

    def facts_of(
        self, request: Request, *, model: str | None = None, tier: ServiceTier | None = None
    ) -> RequestFacts:
        """What conditions look at."""
        peer = request.client.host if request.client is not None else None
        forwarded_for = request.headers.getlist("x-forwarded-for") if self._hops else ()
        return RequestFacts(
            at=self._unix_time(),
            address=client_address(peer, forwarded_for, trusted_hops=self._hops),
            user_agent=request.headers.get("user-agent", ""),
            model=model,
            tier=None if tier is None else tier.value,
        )

    async def bearer_of(
        self,
        request: Request,
        facts: RequestFacts,
        project_id: str | None,
        *,
        max_age_s: float | None = None,
    ) -> Bearer:
        """Raises ApiError: 401, or 429 for a source of wrong keys; StoreUnavailable."""
        try:
            answer = await self._answer(bearer_token(request), facts, project_id, max_age_s)
        except StoreUnavailable:
            self._observe("unavailable")
            raise
        except ProviderUnavailable as exc:
            self._observe("unavailable")
            _log.warning("a token cannot be verified: %s", exc)
            raise errors.identity_provider_unavailable() from exc
        match answer:
            case Bearer():
                if self._denylist.denies(answer.kid, answer.principal_id, answer.project_id):
                    self._observe("denied")
                    _log.warning("key refused: %s is on the denylist", answer.kid)
                    raise errors.invalid_key()
                self._observe("stale" if answer.is_stale else "accepted")
                return answer
            case Unauthenticated():
                self._observe(answer.value)
                _log.info("key refused: %s", answer.value)
                raise errors.invalid_key()
            case Throttled(retry_after_s):
                self._observe("throttled")
                raise errors.too_many_wrong_keys(math.ceil(retry_after_s))
            case never:
                assert_never(never)

    async def _answer(
        self, text: str, facts: RequestFacts, project_id: str | None, max_age_s: float | None
    ) -> Bearer | Unauthenticated | Throttled:
        source = source_of(facts.address)
        key = api_key.parse(text)
        if isinstance(key, ApiKey):
            if key.kind != self._kind:
                return Unauthenticated.WRONG_KIND
            return await self._directory.authenticate(
                key, project_id, address=facts.address, source=source, max_age_s=max_age_s
            )
        if self._tokens is None or not self._tokens.may_be_token(text):
            return Unauthenticated.MALFORMED
        verified = await self._tokens.verify(text)
        if isinstance(verified, str):
            _log.info("token refused: %s", verified)
            return Unauthenticated.BAD_TOKEN
        return await self._directory.authenticate_external(
            verified, project_id, source=source, max_age_s=max_age_s
        )


class Authenticator:
    """Turns requests of the tenant API into callers."""

    def __init__(self, directory: Directory, credentials: Credentials) -> None:
        self._directory = directory
        self._credentials = credentials

    async def caller_of(
        self,
        request: Request,
        *,
        permission: Permission = "model:use",
        model: str | None = None,
        tier: ServiceTier | None = None,
    ) -> Caller:
        """Who asks, for which project, and may: for *model* and in *tier*, once they are known.

        Raises ApiError: 401, 403, or 429 for a source of wrong keys; StoreUnavailable.
        """
        named: str | None = request.path_params.get("project_id")
        # What is no id is asked for as nobody's project: it never becomes a part of a Redis key.
        asked = named if named is None or is_project_id(named) else NOBODYS_PROJECT
        facts = self._credentials.facts_of(request, model=model, tier=tier)
        bearer = await self._credentials.bearer_of(request, facts, asked)
        if not self._is_allowed(bearer, permission, facts):
            bearer = await self._credentials.bearer_of(
                request, facts, asked, max_age_s=DENIED_MAX_AGE_S
            )
            if not self._is_allowed(bearer, permission, facts):
                if tier is not None and self._is_allowed(
                    bearer, permission, replace(facts, tier=None)
                ):
                    raise errors.tier_forbidden(tier.value)
                if model is not None and self._is_allowed(
                    bearer, permission, replace(facts, model=None, tier=None)
                ):
                    raise errors.model_forbidden(model)
                raise errors.project_forbidden()
        project = bearer.project
        assert project is not None

        async def refreshed() -> Caller:
            self._directory.invalidate(bearer)
            return await self.caller_of(request, permission=permission, model=model, tier=tier)

        return Caller(
            kid=bearer.kid,
            project_id=project.project_id,
            config_version=project.version,
            refreshed=refreshed,
            depends_on_body=model is None
            and bearer.grant.looks_at_body(permission)
            and not all(
                self._is_allowed(bearer, permission, replace(facts, model=_NO_MODEL, tier=each))
                for each in USUAL_TIERS
            ),
            tier=tier or ServiceTier.DEFAULT,
            patience_s=_patience_s(request),
        )

    async def caller_asking(
        self, request: Request, caller: Caller, *, model: str, service_tier: str | None
    ) -> Caller:
        """*caller*, who asks for *model* and *service_tier*, with the tier that it gets.

        Raises ApiError: 403 if it may not use the model, or no tier that would answer.
        """
        tiers = acceptable_tiers(service_tier)
        if not caller.depends_on_body and tiers[0].value in USUAL_TIERS:
            return caller if caller.tier is tiers[0] else replace(caller, tier=tiers[0])
        for tier in tiers[:-1]:
            try:
                return await self.caller_of(request, model=model, tier=tier)
            except ApiError as error:
                if error.code != "tier_forbidden":
                    raise
        return await self.caller_of(request, model=model, tier=tiers[-1])

    def _is_allowed(self, bearer: Bearer, permission: Permission, facts: RequestFacts) -> bool:
        if bearer.project is None:
            return False
        target = Target(bearer.project.organisation_id, bearer.project.project_id)
        return not isinstance(decide(bearer.grant, permission, target, facts), Denied)


# No condition names it.
_NO_MODEL = ""
# Has the shape of an id, and is none: `create_project` mints others.
NOBODYS_PROJECT = "--------"


def _patience_s(request: Request) -> float | None:
    """When the client hangs up: OpenAI's say it. Less a second, in which to tell it why."""
    said = request.headers.get("x-stainless-read-timeout")
    if said is None:
        return None
    try:
        timeout_s = float(said)
    except ValueError:
        return None
    return max(0.0, timeout_s - 1.0) if math.isfinite(timeout_s) else None


def bearer_token(request: Request) -> str:
    """The text after "Bearer". Raises ApiError: 401."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if not scheme:
        raise errors.missing_key()
    if scheme.lower() != "bearer" or not token.strip():
        raise errors.invalid_key()
    return token.strip()
