"""Tokens of an identity provider, with a real server of its keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

import anyio
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from gateway import oidc
from gateway.iam.providers import External, Provider
from gateway.oidc import BadKeys, ProviderUnavailable, TokenVerifier, usable_keys

AUDIENCE = "gateway"
NOW = 1_800_000_000.0
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def jwk(key: PrivateKey, kid: str, **more: str) -> dict[str, Any]:
    if isinstance(key, rsa.RSAPrivateKey):
        public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        public = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        public = jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**public, "kid": kid, "use": "sig", **more}


class IdentityProvider(BaseHTTPRequestHandler):
    documents: ClassVar[dict[str, object]]
    asked: ClassVar[list[str]]

    def do_GET(self) -> None:
        type(self).asked.append(self.path)
        document = type(self).documents.get(self.path)
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(404 if document is None else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Not on stderr."""


@contextmanager
def served(documents: dict[str, object]) -> Iterator[tuple[str, type[IdentityProvider]]]:
    handler = type("Served", (IdentityProvider,), {"documents": documents, "asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", handler
        finally:
            server.shutdown()
            thread.join()


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def verifying(
    *providers: Provider, monotonic: Time | None = None
) -> AsyncIterator[TokenVerifier]:
    async with anyio.create_task_group() as tasks:
        verifier = TokenVerifier(providers, unix_time=lambda: NOW, monotonic=monotonic or Time())
        tasks.start_soon(verifier.run)
        yield verifier
        tasks.cancel_scope.cancel()


@pytest.fixture
def keys() -> dict[str, object]:
    return {"keys": [jwk(RSA_KEY, "rsa"), jwk(EC_KEY, "ec"), jwk(ED_KEY, "ed")]}


@pytest.fixture
def idp(keys: dict[str, object]) -> Iterator[tuple[str, type[IdentityProvider]]]:
    with served({"/keys": keys}) as running:
        yield running


@pytest.fixture
def provider(idp: tuple[str, type[IdentityProvider]]) -> Provider:
    url, _ = idp
    return Provider(url, (AUDIENCE,), f"{url}/keys", ("RS256", "ES256", "EdDSA"))


def signed(
    provider: Provider,
    key: Any = RSA_KEY,
    algorithm: str = "RS256",
    kid: str | None = "rsa",
    header: dict[str, Any] | None = None,
    **claims: object,
) -> str:
    body = {"iss": provider.issuer, "aud": AUDIENCE, "sub": "anne", "exp": NOW + 60, **claims}
    said = {name: value for name, value in body.items() if value is not None}
    headers = {**({} if kid is None else {"kid": kid}), **(header or {})}
    return jwt.encode(said, key, algorithm, headers=headers)


ANNE = "anne"


async def test_a_token_names_its_user_whatever_kind_of_key_signs_it(provider: Provider) -> None:
    expected = External(None, provider.issuer, ANNE, NOW + 90)
    async with verifying(provider) as verifier:
        for token in (
            signed(provider),
            signed(provider, EC_KEY, "ES256", "ec"),
            signed(provider, ED_KEY, "EdDSA", "ed"),
            signed(provider, EC_KEY, "ES256", None),  # the only key of its kind
            signed(provider, aud=["other", AUDIENCE]),
            signed(provider, header={"typ": "at+jwt"}),
        ):
            assert verifier.may_be_token(token)
            assert await verifier.verify(token) == expected
            assert await verifier.verify(token) == expected


def forged(provider: Provider, header: dict[str, object], sign: bytes | None = None) -> str:
    claims = {"iss": provider.issuer, "aud": AUDIENCE, "sub": ANNE, "exp": NOW + 60}
    parts = [
        base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=")
        for each in (header, claims)
    ]
    signature = b""
    if sign is not None:
        digest = hmac.digest(sign, b".".join(parts), hashlib.sha256)
        signature = base64.urlsafe_b64encode(digest).rstrip(b"=")
    return b".".join([*parts, signature]).decode()


async def test_whatever_is_wrong_with_a_token_it_is_refused_and_the_reason_quotes_nothing(
    provider: Provider,
) -> None:
    pem = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    good = signed(provider)
    head, body, signature = good.split(".")
    other = json.dumps({"iss": provider.issuer, "aud": AUDIENCE, "sub": "bert", "exp": NOW + 60})
    swapped = base64.urlsafe_b64encode(other.encode()).rstrip(b"=").decode()
    cases = {
        signed(provider, OTHER_RSA_KEY): "its signature is wrong",
        f"{head}.{swapped}.{signature}": "its signature is wrong",
        f"{head}.{body}.": "its signature is wrong",
        # The public key as the secret of a symmetric signature, and no signature at all.
        forged(provider, {"alg": "HS256", "kid": "rsa"}, pem): "its algorithm is not accepted",
        forged(provider, {"alg": "none"}): "its algorithm is not accepted",
        forged(provider, {"alg": "None", "kid": "rsa"}): "its algorithm is not accepted",
        forged(provider, {"alg": ["RS256"], "kid": "rsa"}): "its algorithm is not accepted",
        forged(provider, {"kid": "rsa"}): "its algorithm is not accepted",
        signed(provider, algorithm="RS512"): "its algorithm is not accepted",
        signed(provider, EC_KEY, "ES256", "rsa"): "its key is not known",
        signed(
            provider, header={"crit": ["b64"], "b64": True}
        ): "it cannot be read",  # PyJWT sees it first
        signed(provider, aud="other"): "it is for another audience",
        signed(provider, aud=None): "it does not say for whom",
        signed(provider, aud=[]): "it does not say for whom",
        signed(provider, iss="https://id.example.com"): "its issuer is not known",
        signed(provider, iss=None): "its issuer is not known",
        signed(provider, exp=NOW - 30): "it has expired",
        signed(provider, exp=None): "it does not say for whom",
        signed(provider, nbf=NOW + 31): "its nbf lies in the future",
        signed(provider, sub=None): "it has no sub",
        "ey..": "it cannot be read",
        "eyJ.eyJ.x": "it cannot be read",
        "ey" + "é" * 10 + "..": "it cannot be read",
        "ey\udcff..": "it cannot be read",
    }
    async with verifying(provider) as verifier:
        assert isinstance(await verifier.verify(good), External)
        for token, reason in cases.items():
            refused = await verifier.verify(token)
            assert isinstance(refused, str), reason
            assert refused.startswith(reason)


@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=60))
async def test_no_text_makes_verifying_fail(one: bytes, two: bytes, three: bytes) -> None:
    parts = [base64.urlsafe_b64encode(each).decode().rstrip("=") for each in (one, two, three)]
    verifier = TokenVerifier([])
    assert isinstance(await verifier.verify(".".join(parts)), str)


async def test_what_does_not_look_like_a_token_is_not_worth_the_work(provider: Provider) -> None:
    async with verifying(provider) as verifier:
        for text in ("", "gwk_x", "ey.x", "ey.x.y.z", "ey." + "x" * 20_000 + ".y", "abc.def.ghi"):
            assert not verifier.may_be_token(text)


async def test_keys_are_found_by_discovery(keys: dict[str, object]) -> None:
    documents: dict[str, object] = {"/keys": keys}
    with served(documents) as (url, _):
        documents["/.well-known/openid-configuration"] = {"issuer": url, "jwks_uri": f"{url}/keys"}
        discovered = Provider(url, (AUDIENCE,))
        async with verifying(discovered) as verifier:
            assert isinstance(await verifier.verify(signed(discovered)), External)


@pytest.mark.parametrize(
    "document",
    [
        None,
        {"issuer": "https://evil.example.com", "jwks_uri": "/keys"},
        {"jwks_uri": "http://192.0.2.1/keys"},
        b"[]",
        b"{",
        b"\xff",
        b" " * (oidc.FETCH_MAX_BYTES + 1),
    ],
)
async def test_without_keys_a_token_is_not_called_bad(
    document: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents: dict[str, object] = {}
    with served(documents) as (url, _):
        if isinstance(document, dict):
            document = {"issuer": url, **document}
        documents["/.well-known/openid-configuration"] = document
        unavailable = Provider(url, (AUDIENCE,))
        async with verifying(unavailable) as verifier:
            with pytest.raises(ProviderUnavailable):
                await verifier.verify(signed(unavailable))


async def test_a_new_key_is_found_at_once_and_invented_ones_are_not_asked_for_all_the_time(
    provider: Provider, idp: tuple[str, type[IdentityProvider]], keys: dict[str, object]
) -> None:
    _, handler = idp
    clock = Time()
    async with verifying(provider, monotonic=clock) as verifier:
        assert isinstance(await verifier.verify(signed(provider)), External)
        assert handler.asked == ["/keys"]
        keys["keys"] = [jwk(OTHER_RSA_KEY, "new")]
        clock.now += 30
        new = signed(provider, OTHER_RSA_KEY, kid="new")
        assert isinstance(await verifier.verify(new), External)
        assert handler.asked == ["/keys"] * 2
        # The old key is gone, and with it whatever it signs from now on.
        assert await verifier.verify(signed(provider, sub="later")) == "its key is not known"
        for n in range(100):
            invented = signed(provider, OTHER_RSA_KEY, kid=f"invented {n}")
            assert await verifier.verify(invented) == "its key is not known"
        assert handler.asked == ["/keys"] * 2


async def test_keys_that_cannot_be_fetched_again_are_good_for_a_day(
    provider: Provider, idp: tuple[str, type[IdentityProvider]]
) -> None:
    _, handler = idp
    clock = Time()
    async with verifying(provider, monotonic=clock) as verifier:
        assert isinstance(await verifier.verify(signed(provider)), External)
        handler.documents.clear()
        clock.now += 3600
        assert isinstance(await verifier.verify(signed(provider)), External)
        clock.now += oidc.KEYS_MAX_AGE_S
        with pytest.raises(ProviderUnavailable):
            await verifier.verify(signed(provider, sub="later"))


async def test_what_was_verified_is_remembered_no_longer_than_the_token_is_good(
    provider: Provider,
) -> None:
    unix_time = Time()
    unix_time.now = NOW
    async with anyio.create_task_group() as tasks:
        verifier = TokenVerifier([provider], unix_time=unix_time, monotonic=Time())
        tasks.start_soon(verifier.run)
        token = signed(provider, exp=NOW + 1)
        assert isinstance(await verifier.verify(token), External)
        unix_time.now += 30.9
        assert isinstance(await verifier.verify(token), External)
        unix_time.now += 0.2
        assert await verifier.verify(token) == "it has expired"
        tasks.cancel_scope.cancel()


def test_keys_that_are_no_use_are_passed_over() -> None:
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    document = {
        "keys": [
            jwk(RSA_KEY, "good"),
            jwk(RSA_KEY, "encrypts", use="enc"),
            jwk(RSA_KEY, "other", alg="PS256"),
            jwk(short, "short"),
            jwk(EC_KEY, "broken", x="!"),
            {"kty": "oct", "kid": "symmetric", "k": "c2VjcmV0"},
            {"kty": "RSA", "kid": "empty"},
            "no key",
        ]
    }
    assert set(usable_keys(document, ["RS256", "ES256"])) == {("good", "RS256")}
    with pytest.raises(BadKeys):
        usable_keys({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}, ["RS256"])
    with pytest.raises(BadKeys):
        usable_keys({"keys": [jwk(RSA_KEY, str(n)) for n in range(101)]}, ["RS256"])


async def test_tokens_are_never_logged(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    good = signed(provider, sub="canary-subject")
    bad = signed(provider, OTHER_RSA_KEY, sub="canary-subject")
    async with verifying(provider) as verifier:
        assert isinstance(await verifier.verify(good), External)
        assert isinstance(await verifier.verify(bad), str)
    for part in {*good.split("."), *bad.split("."), "canary-subject"}:
        assert part not in caplog.text
