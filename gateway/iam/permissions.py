"""What endpoints ask for, and the sets in which policies give it. Pure data.

The names of the first three sets are Scaleway's, so that its policies can be brought along.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Permission = Literal[
    "model:use",
    "usage:read",
    "billing:read",
    "project:read",
    "project:write",
    "quota:write",
    "iam:read",
    "iam:write",
    "audit:read",
]
PERMISSIONS: tuple[Permission, ...] = get_args(Permission)


@dataclass(frozen=True, slots=True)
class PermissionSet:
    name: str
    gives: frozenset[Permission]
    description: str


def _sets(*rows: tuple[str, str, str]) -> dict[str, PermissionSet]:
    known = {str(each): each for each in PERMISSIONS}
    return {
        name: PermissionSet(name, frozenset(known[each] for each in gives.split()), description)
        for name, gives, description in rows
    }


# A policy names sets, not permissions: what a later release adds to a set, policies have.
PERMISSION_SETS = _sets(
    (
        "GenerativeApisModelAccess",
        "model:use",
        "use the models",
    ),
    (
        "GenerativeApisFullAccess",
        "model:use usage:read",
        "use the models, and see what was used",
    ),
    (
        "AllProductsFullAccess",
        "model:use usage:read project:read",
        "use all there is, and see projects and their limits",
    ),
    (
        "UsageReadOnly",
        "usage:read project:read",
        "see projects, their limits, and what they have used",
    ),
    (
        "BillingReadOnly",
        "billing:read usage:read project:read",
        "see what was used and what it costs",
    ),
    (
        "ProjectManager",
        "project:read project:write",
        "create, rename, archive and restore projects",
    ),
    (
        "QuotaManager",
        "project:read quota:write",
        "change the limits of projects and keys",
    ),
    (
        "IAMReadOnly",
        "iam:read",
        "see principals, keys and policies",
    ),
    (
        "IAMManager",
        "iam:read iam:write",
        "change principals, keys and policies: to any other permission as well",
    ),
    (
        "AuditReadOnly",
        "audit:read",
        "read the audit log",
    ),
)
