"""API keys: their shape, and nothing that needs a store. Pure: randomness is an argument.

    gwk_<kid: 16>_<secret: 32><checksum: 6>        all base62; gwa_ for the admin API

The two kinds never meet: each API takes keys of its own prefix only, the record in the
store says the kind as well, and the checksum covers the prefix.

The kid is public: logs, the ledger and `gwctl` name it. The checksum is the
CRC-32 of what stands before it; it lets us, and anyone who scans for leaked
keys, tell a key from junk offline. It is not security: anyone can compute it.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from typing import Literal

from gateway.iam import base62

KID_ENTROPY_BYTES = 16
SECRET_ENTROPY_BYTES = 32
ENTROPY_BYTES = KID_ENTROPY_BYTES + SECRET_ENTROPY_BYTES

_KID_LENGTH, _SECRET_LENGTH, _CHECKSUM_LENGTH = 16, 32, 6
KeyKind = Literal["tenant", "admin"]
_PREFIXES: dict[KeyKind, str] = {"tenant": "gwk_", "admin": "gwa_"}
_KINDS: dict[str, KeyKind] = {prefix: kind for kind, prefix in _PREFIXES.items()}
_TOKEN = re.compile(r"((gw[ka]_)([0-9A-Za-z]{16})_([0-9A-Za-z]{32}))([0-9A-Za-z]{6})")
_TOKEN_LENGTH = len("gwk__") + _KID_LENGTH + _SECRET_LENGTH + _CHECKSUM_LENGTH
_SECRET = re.compile(r"gw[ka]_[0-9A-Za-z]{16}_")
_KID = re.compile(r"[0-9A-Za-z]{16}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as its bearer knows it. Printing it shows the kid only."""

    kid: str
    secret: str = field(repr=False)
    kind: KeyKind = "tenant"

    @property
    def token(self) -> str:
        """The text that goes into an Authorization header. Shown once, never stored."""
        body = f"{_PREFIXES[self.kind]}{self.kid}_{self.secret}"
        return body + _checksum(body)


def mint(entropy: bytes, kind: KeyKind = "tenant") -> ApiKey:
    """A new key. *entropy*: ENTROPY_BYTES random bytes. Raises ValueError for any other number."""
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError(f"a key is minted from {ENTROPY_BYTES} bytes, not {len(entropy)}")
    return ApiKey(
        kid=base62.random_text(entropy[:KID_ENTROPY_BYTES], _KID_LENGTH),
        secret=base62.random_text(entropy[KID_ENTROPY_BYTES:], _SECRET_LENGTH),
        kind=kind,
    )


def renewed(kid: str, entropy: bytes, kind: KeyKind = "tenant") -> ApiKey:
    """The same key with a new secret. *entropy*: SECRET_ENTROPY_BYTES random bytes."""
    if len(entropy) != SECRET_ENTROPY_BYTES:
        raise ValueError(f"a secret is minted from {SECRET_ENTROPY_BYTES} bytes")
    return ApiKey(kid=kid, secret=base62.random_text(entropy, _SECRET_LENGTH), kind=kind)


def parse(token: str) -> ApiKey | None:
    """The key in *token*, or None if it has not the shape and checksum of one. Never raises."""
    if len(token) != _TOKEN_LENGTH:
        return None
    match = _TOKEN.fullmatch(token)
    if match is None or match[5] != _checksum(match[1]):
        return None
    return ApiKey(kid=match[3], secret=match[4], kind=_KINDS[match[2]])


def holds_secret(text: str) -> bool:
    """Whether there may be a part of a key's secret in *text*."""
    return _SECRET.search(text) is not None


def redacted(kid: str, kind: KeyKind) -> str:
    """A key's token as far as it may be seen."""
    return f"{_PREFIXES[kind]}{kid}_..."


def is_kid(text: str) -> bool:
    """Whether *text* has the shape of a kid; a key need not exist."""
    return _KID.fullmatch(text) is not None


def _checksum(body: str) -> str:
    return base62.encode(zlib.crc32(body.encode("ascii")), _CHECKSUM_LENGTH)
