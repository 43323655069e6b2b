"""Ids of organisations, principals and policies. Pure: randomness is an argument.

    org_<...>  app_<...>  usr_<...>  pol_<...>        minted: 22 base62 digits

They become parts of Redis keys, and `|` and `,` separate fields of the ledger, in which a
user's id stands where a key's would: so the alphabet is as narrow as that of project ids.
"""

from __future__ import annotations

import re
from typing import Literal

from gateway.iam import base62

IdKind = Literal["organisation", "application", "user", "policy"]
PrincipalKind = Literal["application", "user"]

ENTROPY_BYTES = 24
DEFAULT_ORGANISATION = "org_default"

_PREFIXES: dict[IdKind, str] = {
    "organisation": "org_",
    "application": "app_",
    "user": "usr_",
    "policy": "pol_",
}
_REST = re.compile(r"[0-9A-Za-z_-]{1,64}")


def mint_id(kind: IdKind, entropy: bytes) -> str:
    """A new id. *entropy*: ENTROPY_BYTES random bytes."""
    return _PREFIXES[kind] + base62.random_text(entropy, 22)


def is_id(kind: IdKind, text: str) -> bool:
    """Whether *text* has the shape of such an id; there need not be one."""
    prefix = _PREFIXES[kind]
    return text.startswith(prefix) and _REST.fullmatch(text, len(prefix)) is not None


def principal_kind(principal_id: str) -> PrincipalKind | None:
    """What the id says its bearer is; None if it is no principal's."""
    if is_id("application", principal_id):
        return "application"
    return "user" if is_id("user", principal_id) else None


def default_application_of(project_id: str) -> str:
    """The application that bears the keys of a project for which nobody has named another."""
    return f"app_{project_id}"


def default_policy_of(project_id: str) -> str:
    """The policy that lets this application use the models in its project."""
    return f"pol_{project_id}"
