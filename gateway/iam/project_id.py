"""Project ids: what may stand in a path, in a key record and in a Redis hash tag. Pure.

The id becomes the hash tag of every Redis key of its project, so the alphabet is
a security boundary: a `}` or a `:` would let one tenant address another's keys.
"""

from __future__ import annotations

import re

from gateway.iam import base62

ENTROPY_BYTES = 24
_PROJECT_ID = re.compile(r"[0-9A-Za-z_-]{8,64}")


def is_project_id(text: str) -> bool:
    """Whether *text* has the shape of a project id; a project need not exist."""
    return _PROJECT_ID.fullmatch(text) is not None


def mint_project_id(entropy: bytes) -> str:
    """A new id: `prj_` and 22 base62 digits. *entropy*: ENTROPY_BYTES random bytes."""
    return "prj_" + base62.random_text(entropy, 22)
