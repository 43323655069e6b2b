"""How secrets are stored: HMAC-SHA-256 under a pepper that Redis never sees. Pure.

Whoever reads Redis learns no key, and whoever can write Redis cannot mint one
that works. Not argon2: a secret holds 190 bits, so there is nothing to guess,
and 25 ms of CPU for every bad request would be a gift to an attacker.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

MIN_PEPPER_BYTES = 32


@dataclass(frozen=True, slots=True)
class HashedSecret:
    """A secret as the store knows it."""

    pepper_version: int
    digest: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Peppers:
    """The peppers in use, by version. New secrets get the highest; all of them verify.

    To rotate: add a version, reissue the keys, remove the old version.
    """

    by_version: Mapping[int, bytes] = field(repr=False)

    def __post_init__(self) -> None:
        """Raises ValueError if there is no pepper, or one is too short to be random."""
        if not self.by_version:
            raise ValueError("there is no pepper")
        for version, pepper in self.by_version.items():
            if len(pepper) < MIN_PEPPER_BYTES:
                raise ValueError(
                    f"pepper {version} has {len(pepper)} bytes; at least {MIN_PEPPER_BYTES} are needed"
                )

    @classmethod
    def parse(cls, setting: str) -> Peppers:
        """Read `1:<hex>,2:<hex>`. Raises ValueError; its text never quotes a pepper."""
        by_version: dict[int, bytes] = {}
        for number, entry in enumerate(setting.split(","), start=1):
            version, colon, pepper = entry.strip().partition(":")
            if not colon or not version.isascii() or not version.isdigit():
                raise ValueError(
                    f"entry {number} of the peppers is not <version>:<hex>, for example 1:00ff..."
                )
            if int(version) in by_version:
                raise ValueError(f"pepper {int(version)} is there twice")
            try:
                by_version[int(version)] = bytes.fromhex(pepper)
            except ValueError:
                # Not `from exc`: the original quotes what it could not read.
                raise ValueError(f"pepper {int(version)} is not hexadecimal") from None
        return cls(by_version)

    def hash(self, secret: str) -> HashedSecret:
        """How a new *secret* is stored."""
        current = max(self.by_version)
        return HashedSecret(current, hash_secret(self.by_version[current], secret))

    def verify(self, secret: str, stored: HashedSecret) -> bool:
        """Whether *secret* is the stored one. Its duration says nothing about the digest.

        False as well when the pepper it was stored under has been removed.
        """
        pepper = self.by_version.get(stored.pepper_version)
        if pepper is None:
            return False
        return hmac.compare_digest(hash_secret(pepper, secret), stored.digest)


def hash_secret(pepper: bytes, secret: str) -> bytes:
    """HMAC-SHA-256, 32 bytes. 1 us."""
    keyed = _keyed(pepper).copy()
    keyed.update(secret.encode())
    return keyed.digest()


@lru_cache(maxsize=16)
def _keyed(pepper: bytes) -> hmac.HMAC:
    """To be copied: OpenSSL looks for the algorithm whenever it makes one, which takes longer than
    to hash a secret."""
    return hmac.new(pepper, digestmod=hashlib.sha256)
