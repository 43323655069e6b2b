"""Identity providers whose tokens are accepted instead of keys, and whom a token names. Pure.

The setting is a JSON list, one object for each provider:

    issuer          as tokens say it, `iss`
    audience        what tokens must be for, `aud`: a text, or a list of which one suffices
    jwks_url        where its keys are; without it the issuer's discovery document says so
    algorithms      what it signs with; asymmetric ones only (default: RS256 and ES256)
    user_claim      which claim is the id of a user (default: sub)
    applications    claims that name an application: [{"claim", "value", "application"}]
    leeway_s        by how much its clock may differ from ours (default: 30)

A token is an application's if one of `applications` holds, in that order; otherwise that of
the user who is known here under the issuer and the value of `user_claim`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.iam.ids import is_id

# Never `none`, nor HS*: a public key would be the secret that signs.
ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
DEFAULT_ALGORITHMS = ("RS256", "ES256")
DEFAULT_LEEWAY_S = 30
MAX_LEEWAY_S = 300
MAX_SUBJECT_LENGTH = 512
_FIELDS = {
    *("issuer", "audience", "jwks_url", "algorithms"),
    *("user_claim", "applications", "leeway_s"),
}
_LOOPBACK = re.compile(r"localhost|127\.\d+\.\d+\.\d+|::1")


@dataclass(frozen=True, slots=True)
class ApplicationClaim:
    """A token with this claim is this application's."""

    claim: str
    value: str
    application_id: str


@dataclass(frozen=True, slots=True)
class Provider:
    issuer: str
    audiences: tuple[str, ...]
    jwks_url: str | None = None  # None: the issuer's discovery document says
    algorithms: tuple[str, ...] = DEFAULT_ALGORITHMS
    user_claim: str = "sub"
    applications: tuple[ApplicationClaim, ...] = ()
    leeway_s: int = DEFAULT_LEEWAY_S


@dataclass(frozen=True, slots=True)
class External:
    """A principal as a token names it that has been verified."""

    principal_id: str | None  # an application that its claims are mapped to,
    issuer: str  # or a user, by the provider
    subject: str  # and its id there
    expires_at: float  # Unix time, s


def read_providers(setting: str) -> tuple[Provider, ...]:
    """Raises ValueError, naming provider and field."""
    try:
        stored = json.loads(setting)
    except ValueError as exc:
        raise ValueError(f"this is no JSON: {exc}") from exc
    if not isinstance(stored, list) or not all(isinstance(each, dict) for each in stored):
        raise ValueError("this is no list of objects")
    providers = []
    for number, each in enumerate(stored, start=1):
        try:
            providers.append(_provider(each))
        except ValueError as exc:
            raise ValueError(f"provider {number}: {exc}") from exc
    issuers = [each.issuer for each in providers]
    if len(set(issuers)) < len(issuers):
        raise ValueError("an issuer is there twice")
    return tuple(providers)


def is_safe_url(url: str) -> bool:
    """Whether keys may be fetched there: over TLS, or from this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return bool(parts.hostname)
    return parts.scheme == "http" and _LOOPBACK.fullmatch(parts.hostname or "") is not None


def named_by(provider: Provider, claims: Mapping[str, object], *, now: float) -> External | str:
    """Whom the claims of a token name whose signature, issuer and audience are right.

    A text is why nobody: for the log, so it quotes nothing of the token.
    """
    times = {name: claims.get(name) for name in ("exp", "nbf", "iat")}
    for name, value in times.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            return f"{name} is no time"
    expires_at, not_before, issued_at = times.values()
    if not isinstance(expires_at, int | float):
        return "it never expires"
    if not now < expires_at + provider.leeway_s:
        return "it has expired"
    for name, at in (("nbf", not_before), ("iat", issued_at)):
        if isinstance(at, int | float) and at > now + provider.leeway_s:
            return f"its {name} lies in the future"
    until = expires_at + provider.leeway_s
    for known in provider.applications:
        value = claims.get(known.claim)
        if value == known.value or (isinstance(value, list) and known.value in value):
            return External(known.application_id, provider.issuer, "", until)
    subject = claims.get(provider.user_claim)
    if not isinstance(subject, str) or not 1 <= len(subject) <= MAX_SUBJECT_LENGTH:
        return f"it has no {provider.user_claim}"
    return External(None, provider.issuer, subject, until)


def _provider(stored: Mapping[str, object]) -> Provider:
    unknown = sorted(set(stored) - _FIELDS)
    if unknown:
        raise ValueError(
            f"there is no field {unknown[0]!r}; there are {', '.join(sorted(_FIELDS))}"
        )
    issuer = _text(stored, "issuer")
    jwks_url = _text(stored, "jwks_url") if stored.get("jwks_url") is not None else None
    for url in (issuer, jwks_url):
        if url is not None and not is_safe_url(url):
            raise ValueError(f"{url!r} must begin with https://")
    audience = stored.get("audience")
    audiences = tuple(audience) if isinstance(audience, list) else (audience,)
    if not audiences or not all(isinstance(each, str) and each for each in audiences):
        raise ValueError("audience must be a text, or a list of texts")
    algorithms = stored.get("algorithms", list(DEFAULT_ALGORITHMS))
    if not isinstance(algorithms, list) or not algorithms or set(algorithms) - set(ALGORITHMS):
        raise ValueError(f"algorithms must be a list of {', '.join(ALGORITHMS)}")
    applications = stored.get("applications", [])
    if not isinstance(applications, list):
        raise ValueError("applications must be a list")  # noqa: TRY004
    leeway_s = stored.get("leeway_s", DEFAULT_LEEWAY_S)
    if (
        isinstance(leeway_s, bool)
        or not isinstance(leeway_s, int)
        or not 0 <= leeway_s <= MAX_LEEWAY_S
    ):
        raise ValueError(f"leeway_s must be 0 to {MAX_LEEWAY_S}")
    return Provider(
        issuer=issuer,
        audiences=tuple(str(each) for each in audiences),
        jwks_url=jwks_url,
        algorithms=tuple(algorithms),
        user_claim=_text(stored, "user_claim") if "user_claim" in stored else "sub",
        applications=tuple(_application(each) for each in applications),
        leeway_s=leeway_s,
    )


def _application(stored: object) -> ApplicationClaim:
    if not isinstance(stored, dict) or set(stored) != {"claim", "value", "application"}:
        raise ValueError("each of applications has claim, value and application")
    application_id = _text(stored, "application")
    if not is_id("application", application_id):
        raise ValueError(f"{application_id!r} is no id of an application")
    return ApplicationClaim(_text(stored, "claim"), _text(stored, "value"), application_id)


def _text(stored: Mapping[str, object], name: str) -> str:
    value = stored.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} must be a text")
    return value
