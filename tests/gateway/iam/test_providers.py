"""Identity providers, as they are set, and whom a token's claims name."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.iam.providers import (
    ApplicationClaim,
    External,
    Provider,
    is_safe_url,
    named_by,
    read_providers,
)

ISSUER = "https://id.example.com"
SMALLEST = {"issuer": ISSUER, "audience": "gateway"}
PROVIDER = Provider(
    ISSUER, ("gateway",), applications=(ApplicationClaim("groups", "ci", "app_ci"),)
)
NOW = 1_800_000_000


def test_a_provider_needs_an_issuer_and_an_audience_and_may_say_more() -> None:
    assert read_providers(json.dumps([SMALLEST])) == (Provider(ISSUER, ("gateway",)),)
    more = {
        "issuer": ISSUER,
        "audience": ["gateway", "other"],
        "jwks_url": "http://127.0.0.1:8000/keys",
        "algorithms": ["EdDSA"],
        "user_claim": "email",
        "applications": [{"claim": "azp", "value": "ci", "application": "app_ci"}],
        "leeway_s": 0,
    }
    assert read_providers(json.dumps([more])) == (
        Provider(
            ISSUER,
            ("gateway", "other"),
            "http://127.0.0.1:8000/keys",
            ("EdDSA",),
            "email",
            (ApplicationClaim("azp", "ci", "app_ci"),),
            0,
        ),
    )


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("{", "no JSON"),
        ("{}", "no list of objects"),
        ("[1]", "no list of objects"),
        ([{}], "provider 1: issuer must be a text"),
        ([{**SMALLEST, "issuer": "http://id.example.com"}], "must begin with https://"),
        ([{**SMALLEST, "jwks_url": "file:///etc/passwd"}], "must begin with https://"),
        ([{"issuer": ISSUER}], "audience must be a text"),
        ([{**SMALLEST, "audience": []}], "audience must be a text"),
        ([{**SMALLEST, "algorithms": ["HS256"]}], "algorithms must be a list of RS256"),
        ([{**SMALLEST, "algorithms": ["none"]}], "algorithms must be a list of RS256"),
        ([{**SMALLEST, "algorithms": []}], "algorithms must be a list of RS256"),
        ([{**SMALLEST, "leeway_s": 3600}], "leeway_s must be 0 to 300"),
        ([{**SMALLEST, "applications": [{}]}], "claim, value and application"),
        ([{**SMALLEST, "secret": "x"}], "there is no field 'secret'"),
        ([SMALLEST, SMALLEST], "an issuer is there twice"),
    ],
)
def test_a_wrong_setting_is_explained(setting: object, complaint: str) -> None:
    text = setting if isinstance(setting, str) else json.dumps(setting)
    with pytest.raises(ValueError, match=complaint):
        read_providers(text)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1.evil.com/", "http://localhost.evil.com", "https://", "ftp://x", ""]
)
def test_keys_are_not_fetched_where_anybody_could_exchange_them(url: str) -> None:
    assert not is_safe_url(url)


@pytest.mark.parametrize(
    ("claims", "named"),
    [
        ({"sub": "anne"}, External(None, ISSUER, "anne", NOW + 90)),
        ({"sub": "x", "groups": ["ci"]}, External("app_ci", ISSUER, "", NOW + 90)),
        ({"groups": "ci"}, External("app_ci", ISSUER, "", NOW + 90)),
        ({"groups": "ci2", "sub": ""}, "it has no sub"),
        ({"sub": 5}, "it has no sub"),
        ({"sub": "x" * 513}, "it has no sub"),
        ({"sub": "anne", "exp": NOW - 29}, External(None, ISSUER, "anne", NOW + 1)),
        ({"sub": "anne", "exp": NOW - 30}, "it has expired"),
        ({"sub": "anne", "exp": None}, "it never expires"),
        ({"sub": "anne", "exp": "never"}, "exp is no time"),
        ({"sub": "anne", "exp": float("nan")}, "it has expired"),
        ({"sub": "anne", "nbf": NOW + 30}, External(None, ISSUER, "anne", NOW + 90)),
        ({"sub": "anne", "nbf": NOW + 31}, "its nbf lies in the future"),
        ({"sub": "anne", "iat": NOW + 31}, "its iat lies in the future"),
    ],
)
def test_a_token_names_an_application_or_a_user_while_it_is_good(
    claims: dict[str, object], named: External | str
) -> None:
    assert named_by(PROVIDER, {"exp": NOW + 60, **claims}, now=NOW) == named


@given(
    st.dictionaries(
        st.sampled_from(["exp", "nbf", "iat", "sub", "groups"]),
        st.one_of(st.none(), st.booleans(), st.floats(), st.text(), st.lists(st.text())),
    )
)
def test_no_claims_make_it_fail(claims: dict[str, object]) -> None:
    named = named_by(PROVIDER, claims, now=NOW)
    assert isinstance(named, str) or named.expires_at > NOW
