"""The name of every key in Redis. What they hold: docs/redis-keys.md.

All keys of a project share the hash tag `{project}`, so one script may touch
them all, on a cluster too. A project id is checked before it becomes a tag.
"""

from __future__ import annotations

from functools import lru_cache

from gateway.iam.api_key import is_kid
from gateway.iam.ids import IdKind, is_id, principal_kind
from gateway.iam.project_id import is_project_id

PROJECTS = "gw:projects"
PEPPERS = "gw:peppers"
ORGANISATIONS = "gw:organisations"
AUDIT = "gw:audit"
REPLICAS = "gw:replicas"
DURABLE = "gw:durable"
PROBE = "gw:probe"


def api_key(kid: str) -> str:
    assert is_kid(kid), f"not a kid: {kid!r}"
    return f"gw:key:{kid}"


def organisation(organisation_id: str) -> str:
    return f"gw:org:{_checked('organisation', organisation_id)}"


def projects_of_organisation(organisation_id: str) -> str:
    return f"gw:org:{_checked('organisation', organisation_id)}:projects"


def principals_of_organisation(organisation_id: str) -> str:
    return f"gw:org:{_checked('organisation', organisation_id)}:principals"


def policies_of_organisation(organisation_id: str) -> str:
    return f"gw:org:{_checked('organisation', organisation_id)}:policies"


def limited_keys_of_organisation(organisation_id: str) -> str:
    """Keys that have, or had, limits of their own."""
    return f"gw:org:{_checked('organisation', organisation_id)}:limited"


def principal(principal_id: str) -> str:
    """An application or a user."""
    assert principal_kind(principal_id) is not None, f"not a principal's id: {principal_id!r}"
    return f"gw:principal:{principal_id}"


def keys_of_principal(principal_id: str) -> str:
    return f"{principal(principal_id)}:keys"


def policies_of_principal(principal_id: str) -> str:
    return f"{principal(principal_id)}:policies"


def policy(policy_id: str) -> str:
    return f"gw:policy:{_checked('policy', policy_id)}"


def external(digest: str) -> str:
    """*digest*: of an identity provider and its id of a user."""
    return f"gw:external:{digest}"


def leased(part: int) -> str:
    """Projects that may have leases."""
    return f"gw:leased:{part}"


def reaping(part: int) -> str:
    """There while a gateway looks through that part."""
    return f"gw:reaping:{part}"


def config(project_id: str) -> str:
    return _tagged(project_id, "cfg")


def keys_of_project(project_id: str) -> str:
    return _tagged(project_id, "keys")


def quota_state(project_id: str) -> str:
    return _tagged(project_id, "q")


def lease_ends(project_id: str) -> str:
    return _tagged(project_id, "lz")


def leases(project_id: str) -> str:
    return _tagged(project_id, "ld")


def key_lease_ends(project_id: str, kid: str) -> str:
    """Those of the leases whose key has a limit of concurrent requests."""
    return _tagged(project_id, f"lz:{kid}")


def ended_lease(project_id: str, lease_id: str) -> str:
    """There after a lease has ended without its owner: released, or reaped and charged."""
    return _tagged(project_id, f"ot:{lease_id}")


def settled(project_id: str, hour: int) -> str:
    """*hour*: of the admission, since 1970-01-01 UTC."""
    return _tagged(project_id, f"dn:{hour}")


def usage(project_id: str, day: int) -> str:
    """*day*: of the admission, since 1970-01-01 UTC."""
    return _tagged(project_id, f"u:{day}")


def ledger(project_id: str) -> str:
    return _tagged(project_id, "lg")


def refusals(project_id: str) -> str:
    return _tagged(project_id, "rf")


def _checked(kind: IdKind, text: str) -> str:
    assert is_id(kind, text), f"not an id of {kind}: {text!r}"
    return text


def _tagged(project_id: str, name: str) -> str:
    return _tag(project_id) + name


@lru_cache(maxsize=4096)
def _tag(project_id: str) -> str:
    """A request asks for fifteen keys of its project."""
    assert is_project_id(project_id), f"not a project id: {project_id!r}"
    return f"gw:{{{project_id}}}:"
