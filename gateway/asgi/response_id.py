"""Response ids: UUIDs of version 7, so that they sort by time.

The id is made before anything is reserved: it names the lease, makes settling
idempotent, and is what the tenant quotes in a complaint.
"""

from __future__ import annotations

import secrets
import time


def new_response_id() -> str:
    """48 bits of Unix milliseconds, version, variant, and 74 random bits (RFC 9562, 5.7)."""
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(74)
    version, variant = 0x7000 | random >> 62, 0x8000 | random >> 48 & 0x3FFF
    return (
        f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-{version:04x}-{variant:04x}"
        f"-{random & 0xFFFF_FFFF_FFFF:012x}"
    )
