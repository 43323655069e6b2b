"""Tokens of identity providers: JWTs, verified with the providers' published keys.

A token is checked with the keys of the one provider that it names as its issuer, with the
algorithms that were set for it, and never with another one that its header asks for. Keys
are fetched beside requests, and again every ten minutes; a token with a key that nobody
knows makes us look again, but not more often than every half minute. The text of a token
is neither logged nor kept: what was verified is remembered under its hash, for a minute.
"""

from __future__ import annotations

import binascii
import hashlib
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Never

import anyio
import jwt
from cachetools import TTLCache
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from gateway.iam.providers import External, Provider, is_safe_url, named_by

_log = logging.getLogger(__name__)

MAX_TOKEN_LENGTH = 16 * 1024
VERIFIED_CACHE_S = 60.0
VERIFIED_ENTRIES = 10_000

REFRESH_S = 600.0
# A token with a key that is not known makes us look again, not more often.
REFETCH_S = 30.0
RETRY_S = 10.0
FETCH_TIMEOUT_S = 10.0  # discovery and keys together
FETCH_MAX_BYTES = 512 * 1024
MAX_KEYS = 100
MIN_RSA_BITS = 2048
# How long a request waits for keys that are being fetched.
KEY_WAIT_S = 2.0
# Keys that could not be fetched again for so long are not trusted any more.
KEYS_MAX_AGE_S = 24 * 3600.0

_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}


# Gets the document of a URL, or raises OSError.
Fetch = Callable[[str], Awaitable[bytes]]


class ProviderUnavailable(Exception):
    """The provider's keys cannot be had: whether a token is good, nobody knows."""


class BadKeys(Exception):
    """What a provider publishes is no set of keys."""


class ProviderKeys:
    """The keys of one provider. The app starts `run()` in its task group."""

    def __init__(
        self,
        provider: Provider,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._provider = provider
        self._monotonic = monotonic
        self._keys: dict[tuple[str | None, str], jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._is_fetching = False
        self._wanted = anyio.Event()
        self._tried = anyio.Event()

    async def run(self, fetch: Fetch) -> Never:
        """Fetch, again and again, and sooner when a key is missing. Ends only by cancellation."""
        while True:
            pause_s = REFRESH_S if await self._refresh(fetch) else RETRY_S
            with anyio.move_on_after(pause_s * (0.9 + 0.2 * random.random())):
                await self._wanted.wait()

    async def key(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key, or None if the provider has none such. Raises ProviderUnavailable."""
        found = self._found(kid, algorithm)
        if found is None and (self._is_fetching or self._may_try()):
            tried = self._tried
            if not self._is_fetching:
                self._wanted.set()
            with anyio.move_on_after(KEY_WAIT_S):
                await tried.wait()
            found = self._found(kid, algorithm)
        if self._fetched_at is None or self._monotonic() - self._fetched_at > KEYS_MAX_AGE_S:
            raise ProviderUnavailable(f"no keys of {self._provider.issuer}")
        return found

    def _found(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        if kid is None:
            fitting = [key for (_, each), key in self._keys.items() if each == algorithm]
            return fitting[0] if len(fitting) == 1 else None
        return self._keys.get((kid, algorithm))

    def _may_try(self) -> bool:
        return self._tried_at is None or self._monotonic() - self._tried_at >= REFETCH_S

    async def _refresh(self, fetch: Fetch) -> bool:
        """Whether it went well. Raises nothing: known keys stay when there are no newer ones."""
        self._tried_at = self._monotonic()
        self._is_fetching = True
        self._wanted = anyio.Event()
        try:
            with anyio.fail_after(FETCH_TIMEOUT_S):
                url = self._provider.jwks_url or await self._discovered_url(fetch)
                self._keys = usable_keys(_json_object(await fetch(url)), self._provider.algorithms)
            self._fetched_at = self._monotonic()
            return True
        # ValueError: what is no JSON, or no text.
        except (BadKeys, OSError, ValueError) as exc:
            _log.warning(
                "keys of %s not fetched: %s: %s", self._provider.issuer, type(exc).__name__, exc
            )
            return False
        finally:
            self._is_fetching = False
            self._tried.set()
            self._tried = anyio.Event()

    async def _discovered_url(self, fetch: Fetch) -> str:
        issuer = self._provider.issuer
        discovery_url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        document = _json_object(await fetch(discovery_url))
        url = document.get("jwks_uri")
        if document.get("issuer") != issuer:
            raise BadKeys("the discovery document is that of another issuer")
        if not isinstance(url, str) or not is_safe_url(url):
            raise BadKeys("the discovery document has no jwks_uri with https://")
        return url


class TokenVerifier:
    """Verifies tokens of the providers that were set. The app starts `run()` in its task group."""

    def __init__(
        self,
        providers: Sequence[Provider],
        *,
        unix_time: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._unix_time = unix_time
        self._providers = {each.issuer: each for each in providers}
        self._keys = {each.issuer: ProviderKeys(each, monotonic=monotonic) for each in providers}
        # By the whole SHA-256 of the token: a shorter key would let tokens collide.
        self._verified = TTLCache[bytes, External, float](
            VERIFIED_ENTRIES, VERIFIED_CACHE_S, monotonic
        )

    async def run(self) -> None:
        """Keep the keys of all providers fresh, until cancelled; at once over without providers."""
        if not self._keys:
            return
        # A client of HTTP and its certificates take 4 MB: only where there are providers.
        from gateway.https_documents import fetching

        async with fetching(FETCH_MAX_BYTES) as fetch, anyio.create_task_group() as tasks:
            for each in self._keys.values():
                tasks.start_soon(each.run, fetch)

    def may_be_token(self, text: str) -> bool:
        """Whether it looks like a JWT; nothing else is worth the work."""
        return text.startswith("ey") and text.count(".") == 2 and len(text) <= MAX_TOKEN_LENGTH

    async def verify(self, text: str) -> External | str:
        """Whom the token names, or why it is refused: for the log alone, quoting nothing of it.

        Raises ProviderUnavailable.
        """
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
        known = self._verified.get(digest)
        if known is None:
            verified = await self._verify(text)
            if isinstance(verified, str):
                return verified
            known = self._verified[digest] = verified
        return known if self._unix_time() < known.expires_at else "it has expired"

    async def _verify(self, text: str) -> External | str:
        try:
            header = jwt.get_unverified_header(text)
            unverified = jwt.decode(text, options={"verify_signature": False})
        # PyJWT lets some errors of decoding through.
        except (jwt.PyJWTError, ValueError, binascii.Error, RecursionError):
            return "it cannot be read"
        issuer = unverified.get("iss")
        provider = self._providers.get(issuer) if isinstance(issuer, str) else None
        if provider is None:
            return "its issuer is not known"
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in provider.algorithms:
            return "its algorithm is not accepted"
        if "crit" in header:
            return "it demands an extension"
        key = await self._keys[provider.issuer].key(kid, str(algorithm))
        if key is None:
            return "its key is not known"
        try:
            claims = jwt.decode(
                text,
                key=key,
                algorithms=[str(algorithm)],
                audience=provider.audiences,
                issuer=provider.issuer,
                # Times are compared with our clock, in `named_by`.
                options={
                    "require": ["exp", "iss", "aud"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.MissingRequiredClaimError:
            return "it does not say for whom, by whom, or for how long it is"
        except jwt.InvalidAudienceError:
            return "it is for another audience"
        except (jwt.PyJWTError, ValueError):
            return "its signature is wrong"
        return named_by(provider, claims, now=self._unix_time())


def _json_object(text: bytes) -> Mapping[str, Any]:
    """Raises BadKeys, ValueError."""
    document = json.loads(text)
    if not isinstance(document, dict):
        raise BadKeys("it is no JSON object")
    return document


def usable_keys(
    document: Mapping[str, Any], algorithms: Sequence[str]
) -> dict[tuple[str | None, str], jwt.PyJWK]:
    """The keys of a JWK set that can verify, by id and algorithm. Raises BadKeys.

    Keys that are no use to us are passed over: symmetric ones, those for encryption, short ones.
    """
    keys = document.get("keys")
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise BadKeys("it has no list of keys, or a very long one")
    usable: dict[tuple[str | None, str], jwt.PyJWK] = {}
    for stored in keys:
        if not isinstance(stored, dict) or stored.get("use", "sig") != "sig":
            continue
        kid = stored.get("kid")
        for algorithm in _algorithms_of(stored):
            if algorithm not in algorithms:
                continue
            try:
                key = jwt.PyJWK(stored, algorithm=algorithm)
            except (jwt.PyJWTError, ValueError, TypeError):
                continue
            if isinstance(key.key, RSAPublicKey) and key.key.key_size < MIN_RSA_BITS:
                continue
            usable[kid if isinstance(kid, str) else None, algorithm] = key
    if not usable:
        raise BadKeys("none of its keys can verify what was set for this provider")
    return usable


def _algorithms_of(stored: Mapping[str, Any]) -> Sequence[str]:
    """What such a key can verify, as far as it does not say itself."""
    match stored.get("kty"):
        case "RSA":
            possible = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
        case "EC":
            possible = [_CURVES.get(str(stored.get("crv")), "")]
        case "OKP":
            possible = ["EdDSA"]
        case _:
            possible = []
    said = stored.get("alg")
    return possible if said is None else [each for each in possible if each == said]
