"""Peppers, and the hashes made with them."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from gateway.iam.api_key import ENTROPY_BYTES, mint, parse
from gateway.iam.secret_hash import HashedSecret, Peppers, hash_secret

OLD, NEW = b"o" * 32, b"n" * 32


def test_a_secret_is_hashed_with_hmac_sha_256() -> None:
    expected = hmac.new(OLD, b"secret", hashlib.sha256).digest()
    assert hash_secret(OLD, "secret") == expected


def test_new_secrets_get_the_highest_pepper_and_old_ones_still_verify() -> None:
    before = Peppers({1: OLD}).hash("secret")
    rotating = Peppers({2: NEW, 1: OLD})
    assert rotating.hash("secret") == HashedSecret(2, hash_secret(NEW, "secret"))
    assert rotating.verify("secret", before)
    assert rotating.verify("secret", rotating.hash("secret"))


def test_a_wrong_secret_and_a_removed_pepper_do_not_verify() -> None:
    stored = Peppers({1: OLD}).hash("secret")
    assert not Peppers({1: OLD}).verify("Secret", stored)
    assert not Peppers({2: NEW}).verify("secret", stored)
    assert not Peppers({1: NEW}).verify("secret", stored)


def test_who_has_read_redis_has_no_key() -> None:
    key = mint(bytes(ENTROPY_BYTES))
    peppers = Peppers({1: OLD})
    stored = peppers.hash(key.secret)
    for guess in (stored.digest.hex(), f"gwk_{key.kid}_{stored.digest.hex()}"):
        assert parse(guess) is None
        assert not peppers.verify(guess, stored)


def test_peppers_are_read_from_a_setting() -> None:
    assert Peppers.parse(f"1:{OLD.hex()}, 2:{NEW.hex()}") == Peppers({1: OLD, 2: NEW})


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("", "entry 1 of the peppers is not <version>:<hex>"),
        (f"1:{'00' * 32},", "entry 2 of the peppers is not <version>:<hex>"),
        ("one:00", "entry 1 of the peppers is not <version>:<hex>"),
        ("-1:00", "entry 1 of the peppers is not <version>:<hex>"),
        ("1:hunter2", "pepper 1 is not hexadecimal"),
        ("7:00ff", "pepper 7 has 2 bytes; at least 32 are needed"),
        (f"1:{'00' * 32},1:{'11' * 32}", "pepper 1 is there twice"),
    ],
)
def test_a_wrong_setting_is_explained_without_quoting_a_pepper(
    setting: str, complaint: str
) -> None:
    with pytest.raises(ValueError) as raised:
        Peppers.parse(setting)
    assert complaint in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_printing_peppers_or_a_hash_shows_neither() -> None:
    peppers = Peppers({1: OLD})
    assert repr(peppers) == "Peppers()"
    assert repr(peppers.hash("secret")) == "HashedSecret(pepper_version=1)"
