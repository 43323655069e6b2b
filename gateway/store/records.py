"""Projects, keys and principals as Redis holds them: hashes of text, read and written here only.

A record that cannot be read is a bug, or was written by hand: it raises.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from redis.typing import EncodableT, FieldT

from gateway.iam.address import Ranges
from gateway.iam.api_key import KeyKind
from gateway.iam.ids import DEFAULT_ORGANISATION, PrincipalKind, principal_kind
from gateway.iam.policy import Line, Policy, lines_text, read_lines, read_rules, rules_text
from gateway.iam.secret_hash import HashedSecret
from gateway.quota.limits import NO_LIMITS, Limits, limits_text, read_limits

Hash = dict[FieldT, EncodableT]


class ProjectState(enum.Enum):
    ACTIVE = "active"
    DISABLED = "disabled"  # its keys are refused, its data kept


class KeyState(enum.Enum):
    ACTIVE = "active"
    REVOKED = "revoked"  # kept for ever: the kid stands in the ledger


class PrincipalState(enum.Enum):
    ACTIVE = "active"
    DELETED = "deleted"  # kept for ever: keys and the audit log name it


@dataclass(frozen=True, slots=True)
class OrganisationRecord:
    """Who has projects, principals and policies."""

    organisation_id: str
    name: str
    created_at: int  # Unix time, s


@dataclass(frozen=True, slots=True)
class ProjectConfig:
    """A project, under one version of its config."""

    project_id: str
    name: str
    version: int  # raised by every change of the project, of its keys, and of what they may
    state: ProjectState
    limits: Limits
    created_at: int  # Unix time, s
    organisation_id: str = DEFAULT_ORGANISATION
    managed: bool = False  # declared in a file: not to be edited
    disabled_at: int | None = None  # Unix time, s, when it was last


@dataclass(frozen=True, slots=True)
class PreviousSecret:
    """The secret that a rotation has replaced: it works for a while longer."""

    hashed_secret: HashedSecret
    until: int  # Unix time, s


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key as the store knows it: without its secret."""

    kid: str
    name: str
    state: KeyState
    hashed_secret: HashedSecret
    principal_id: str  # who bears it
    organisation_id: str
    default_project_id: str | None  # of requests that name none; admin keys need none
    created_at: int  # Unix time, s
    expires_at: int | None  # Unix time, s; None: never
    kind: KeyKind = "tenant"
    limits: Limits = NO_LIMITS  # of the key alone, beside those of its projects
    source_cidrs: Ranges | None = None  # from where it may be used; None: anywhere
    previous: PreviousSecret | None = None  # while a rotation lasts
    last_used_at: int | None = None  # Unix time, s, to the minute
    managed: bool = False
    lines: tuple[Line, ...] = ()  # what its principal may do, compiled
    lines_revision: int = 0  # of the principal, when they were


@dataclass(frozen=True, slots=True)
class PrincipalRecord:
    """An application or a user."""

    principal_id: str
    name: str
    organisation_id: str
    state: PrincipalState
    created_at: int  # Unix time, s
    default_project_id: str | None = None  # of requests with a token of an identity provider
    issuer: str | None = None  # the identity provider that knows it,
    subject: str | None = None  # and under which id
    managed: bool = False
    lines: tuple[Line, ...] = ()  # what it may do, compiled
    lines_revision: int = 0

    @property
    def kind(self) -> PrincipalKind:
        kind = principal_kind(self.principal_id)
        assert kind is not None, self.principal_id
        return kind


def read_organisation(organisation_id: str, stored: Mapping[str, str]) -> OrganisationRecord | None:
    """The organisation in the hash `gw:org:<id>`, or None if there is none."""
    if not stored:
        return None
    return OrganisationRecord(organisation_id, stored["name"], int(stored["created_at"]))


def write_organisation(organisation: OrganisationRecord) -> Hash:
    """The hash of an organisation."""
    return {"name": organisation.name, "created_at": str(organisation.created_at)}


def read_project(project_id: str, stored: Mapping[str, str]) -> ProjectConfig | None:
    """The project in the hash `gw:{project}:cfg`, or None if there is none."""
    if not stored:
        return None
    return ProjectConfig(
        project_id=project_id,
        name=stored["name"],
        version=int(stored["ver"]),
        state=ProjectState(stored["state"]),
        limits=read_limits(stored["limits"]),
        created_at=int(stored["created_at"]),
        organisation_id=stored["org"],
        managed=stored.get("managed") == "1",
        disabled_at=_number(stored, "disabled_at"),
    )


def write_project(project: ProjectConfig) -> Hash:
    """The hash of a project."""
    stored: Hash = {
        "ver": str(project.version),
        "name": project.name,
        "state": project.state.value,
        "org": project.organisation_id,
        "created_at": str(project.created_at),
        "limits": limits_text(project.limits),
    }
    if project.managed:
        stored["managed"] = "1"
    return stored


def read_key(kid: str, stored: Mapping[str, str]) -> KeyRecord | None:
    """The key in the hash `gw:key:<kid>`, or None if there is none."""
    # When it was last used is written without looking: that alone makes no key.
    if "name" not in stored:
        return None
    return KeyRecord(
        kid=kid,
        name=stored["name"],
        state=KeyState(stored["state"]),
        hashed_secret=HashedSecret(int(stored["pv"]), bytes.fromhex(stored["hash"])),
        principal_id=stored["principal"],
        organisation_id=stored["org"],
        default_project_id=stored.get("default_project"),
        created_at=int(stored["created_at"]),
        expires_at=_number(stored, "expires_at"),
        kind=cast("KeyKind", stored["kind"]),
        limits=read_limits(stored["limits"]) if "limits" in stored else NO_LIMITS,
        source_cidrs=Ranges.read(stored["cidrs"].split(",")) if "cidrs" in stored else None,
        previous=_read_previous(stored),
        last_used_at=_number(stored, "last_used"),
        managed=stored.get("managed") == "1",
        lines=read_lines(stored.get("lines", "[]")),
        lines_revision=_number(stored, "lines_rev") or 0,
    )


def _read_previous(stored: Mapping[str, str]) -> PreviousSecret | None:
    if not stored.get("hash0"):
        return None
    hashed = HashedSecret(int(stored["pv0"]), bytes.fromhex(stored["hash0"]))
    return PreviousSecret(hashed, int(stored["until0"]))


def write_key(key: KeyRecord) -> Hash:
    """The hash of a key; but for `last_used`, which the gateways write."""
    stored: Hash = {
        "name": key.name,
        "kind": key.kind,
        "state": key.state.value,
        **write_secrets(key),
        "principal": key.principal_id,
        "org": key.organisation_id,
        "created_at": str(key.created_at),
        "lines": lines_text(key.lines),
        "lines_rev": str(key.lines_revision),
    }
    if key.default_project_id is not None:
        stored["default_project"] = key.default_project_id
    if key.expires_at is not None:
        stored["expires_at"] = str(key.expires_at)
    if key.limits != NO_LIMITS:
        stored["limits"] = limits_text(key.limits)
    if key.source_cidrs is not None:
        stored["cidrs"] = ",".join(key.source_cidrs.texts)
    if key.managed:
        stored["managed"] = "1"
    return stored


def write_secrets(key: KeyRecord) -> Hash:
    """The part of it that a rotation changes."""
    stored: Hash = {
        "pv": str(key.hashed_secret.pepper_version),
        "hash": key.hashed_secret.digest.hex(),
    }
    if key.previous is not None:
        stored["pv0"] = str(key.previous.hashed_secret.pepper_version)
        stored["hash0"] = key.previous.hashed_secret.digest.hex()
        stored["until0"] = str(key.previous.until)
    return stored


def read_principal(principal_id: str, stored: Mapping[str, str]) -> PrincipalRecord | None:
    """The principal in the hash `gw:principal:<id>`, or None if there is none."""
    # What is written of policies before it is written itself makes no principal.
    if "name" not in stored:
        return None
    return PrincipalRecord(
        principal_id=principal_id,
        name=stored["name"],
        organisation_id=stored["org"],
        state=PrincipalState(stored["state"]),
        created_at=int(stored["created_at"]),
        default_project_id=stored.get("default_project"),
        issuer=stored.get("issuer"),
        subject=stored.get("subject"),
        managed=stored.get("managed") == "1",
        lines=read_lines(stored.get("lines", "[]")),
        lines_revision=_number(stored, "lines_rev") or 0,
    )


def write_principal(principal: PrincipalRecord) -> Hash:
    """The hash of a principal, without its lines: `compilation.py` writes these."""
    stored: Hash = {
        "name": principal.name,
        "org": principal.organisation_id,
        "state": principal.state.value,
        "created_at": str(principal.created_at),
    }
    for field, value in (
        ("default_project", principal.default_project_id),
        ("issuer", principal.issuer),
        ("subject", principal.subject),
    ):
        if value is not None:
            stored[field] = value
    if principal.managed:
        stored["managed"] = "1"
    return stored


def read_policy(policy_id: str, stored: Mapping[str, str]) -> Policy | None:
    """The policy in the hash `gw:policy:<id>`, or None if there is none, or it was deleted."""
    if "rules" not in stored:
        return None
    return Policy(
        policy_id=policy_id,
        name=stored["name"],
        organisation_id=stored["org"],
        principal_ids=frozenset(stored["principals"].split()),
        rules=read_rules(stored["rules"]),
        managed=stored.get("managed") == "1",
    )


def write_policy(policy: Policy) -> Hash:
    """The hash of a policy."""
    return {
        "name": policy.name,
        "org": policy.organisation_id,
        "principals": " ".join(sorted(policy.principal_ids)),
        "rules": rules_text(policy.rules),
        "managed": "1" if policy.managed else "0",
    }


def _number(stored: Mapping[str, str], field: str) -> int | None:
    return int(stored[field]) if field in stored else None
