"""Response ids: UUIDs of version 7, so that they sort by time.

The id is made before anything is reserved: it names the lease, makes settling
idempotent, and is what the tenant quotes in a complaint.
"""

from __future__ import annotations

import secrets
import time
import uuid


def new_response_id() -> str:
    """48 bits of Unix milliseconds, version, variant, and 74 random bits (RFC 9562, 5.7)."""
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(74)
    value = (
        milliseconds << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    )
    return str(uuid.UUID(int=value))
