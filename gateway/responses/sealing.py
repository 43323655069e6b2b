"""Reasoning that a client keeps for us: encrypted_content.

Nothing is stored here, so a client that wants its reasoning back in the next
turn without showing it carries it itself, sealed. A blob opens only for the
project and the model it was made for, on every replica with the same keys.

    v1.<key version>.<base64url of nonce, and AES-256-GCM of the deflated text>
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_BYTES = 12
# Of one reasoning item; the model's whole context is shorter.
MAX_TEXT_BYTES = 8 * 1024 * 1024
_BLOB = re.compile(r"v1\.([0-9]{1,9})\.([A-Za-z0-9_-]+={0,2})")


class CannotOpen(Exception):
    """The blob was made for another project or model, under another key, or was changed."""


class Seal:
    """Seals and opens reasoning. Keys are derived from secrets, by version.

    The highest version seals, all of them open: so secrets can be rotated.
    """

    def __init__(self, secrets_by_version: Mapping[int, bytes]) -> None:
        """*secrets_by_version*: at least one, 32 random bytes or more each."""
        self._current = max(secrets_by_version)
        self._keys = {version: _key(secret) for version, secret in secrets_by_version.items()}

    def seal(self, text: str, *, project_id: str, model: str, nonce: bytes) -> str:
        """*nonce*: NONCE_BYTES random bytes, never used before."""
        sealed = self._keys[self._current].encrypt(
            nonce, zlib.compress(text.encode()), _bound_to(project_id, model)
        )
        return f"v1.{self._current}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, blob: str, *, project_id: str, model: str) -> str:
        """Raises CannotOpen."""
        match = _BLOB.fullmatch(blob)
        key = self._keys.get(int(match[1])) if match else None
        if match is None or key is None:
            raise CannotOpen
        try:
            raw = base64.urlsafe_b64decode(match[2])
            deflated = key.decrypt(
                raw[:NONCE_BYTES], raw[NONCE_BYTES:], _bound_to(project_id, model)
            )
        # ValueError: too short to hold a nonce.
        except (binascii.Error, InvalidTag, ValueError) as exc:
            raise CannotOpen from exc
        # Ours, since the tag is right, but bounded all the same.
        inflater = zlib.decompressobj()
        text = inflater.decompress(deflated, MAX_TEXT_BYTES)
        if inflater.unconsumed_tail:
            raise CannotOpen
        return text.decode()


def _key(secret: bytes) -> AESGCM:
    # Derived, so that what else the secret is used for tells nothing about it.
    derived = HKDF(SHA256(), length=32, salt=None, info=b"llm-gateway reasoning v1").derive(secret)
    return AESGCM(derived)


def _bound_to(project_id: str, model: str) -> bytes:
    # A NUL is in neither, so no two pairs read the same.
    return f"{project_id}\0{model}".encode()
