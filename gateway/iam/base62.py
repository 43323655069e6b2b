"""Numbers as base62 text of a fixed width: what ids, secrets and checksums are written in. Pure."""

from __future__ import annotations

import string

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase


def encode(number: int, width: int) -> str:
    """The last *width* base62 digits of *number*, with leading zeros."""
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def random_text(entropy: bytes, width: int) -> str:
    """*width* base62 digits drawn from *entropy*.

    Raises ValueError if there is less than four bytes more entropy than the text
    can hold: the digits would be visibly uneven.
    """
    if len(entropy) * 8 < width * 5.96 + 32:
        raise ValueError(f"{len(entropy)} bytes are too few for {width} even base62 digits")
    return encode(int.from_bytes(entropy, "big"), width)
