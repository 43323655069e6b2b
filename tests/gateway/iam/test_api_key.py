"""API keys: minted, read back, and everything else refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.iam.api_key import ENTROPY_BYTES, ApiKey, KeyKind, holds_secret, is_kid, mint, parse

KEY = mint(bytes(range(ENTROPY_BYTES)))
KINDS: list[KeyKind] = ["tenant", "admin"]


@given(st.binary(min_size=ENTROPY_BYTES, max_size=ENTROPY_BYTES), st.sampled_from(KINDS))
def test_a_minted_key_is_read_back_from_its_token(entropy: bytes, kind: KeyKind) -> None:
    key = mint(entropy, kind)
    assert parse(key.token) == key
    prefix = {"tenant": "gwk", "admin": "gwa"}[kind]
    assert re.fullmatch(prefix + r"_[0-9A-Za-z]{16}_[0-9A-Za-z]{38}", key.token)
    assert is_kid(key.kid)


def test_the_format_never_changes_for_keys_that_are_out_there() -> None:
    token = "gwk_7RiJxkEgOGusQGwp_7u7ED6UzpF5eHPrBI5AHumY7UBpOQIJz3LQWOY"
    assert parse(token) == KEY


def test_a_secret_is_recognised_though_the_key_is_cut_or_wrapped() -> None:
    for text in (KEY.token, f"x-{KEY.token}", KEY.token[:30], mint(bytes(48), "admin").token):
        assert holds_secret(text)
    for text in (KEY.kid, f"gwk_{KEY.kid}", "req_0123456789abcdef", ""):
        assert not holds_secret(text)


@given(st.text(max_size=80))
def test_any_text_that_is_not_a_token_is_refused(text: str) -> None:
    assert parse(text) is None


@given(st.integers(0, len(KEY.token) - 1), st.characters())
def test_a_token_with_one_wrong_character_is_refused(position: int, character: str) -> None:
    token = KEY.token[:position] + character + KEY.token[position + 1 :]
    assert parse(token) == (KEY if token == KEY.token else None)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "gwk_",
        KEY.token + "\n",
        " " + KEY.token,
        KEY.token.replace("gwk_", "gwa_"),
        KEY.token.swapcase(),
        KEY.token * 1000,
        "gwk_\u0661" + KEY.token[5:],  # a digit, but an Arabic one
        "gwk_" + "\udcff" * 55,  # bytes of a header that were no UTF-8
    ],
)
def test_what_almost_looks_like_a_token_is_refused(token: str) -> None:
    assert parse(token) is None


def test_a_key_of_one_kind_is_none_of_the_other_whatever_its_letters() -> None:
    admin = ApiKey(KEY.kid, KEY.secret, "admin")
    assert parse(admin.token) == admin != KEY
    assert admin.token[4:-6] == KEY.token[4:-6]
    assert admin.token[-6:] != KEY.token[-6:]


def test_printing_a_key_shows_its_kid_only() -> None:
    assert KEY.kid in repr(KEY)
    assert KEY.secret not in repr(KEY)


def test_a_key_is_not_minted_from_too_little_randomness() -> None:
    with pytest.raises(ValueError, match="48 bytes, not 32"):
        mint(bytes(32))
