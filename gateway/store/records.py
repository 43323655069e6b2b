"""Keys and projects as Redis holds them: hashes of text, read and written here only.

A record that cannot be read is a bug, or was written by hand: it raises.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from redis.typing import EncodableT, FieldT

from gateway.iam.secret_hash import HashedSecret
from gateway.quota.limits import Limits, limits_text, read_limits

Hash = dict[FieldT, EncodableT]


class ProjectState(enum.Enum):
    ACTIVE = "active"
    DISABLED = "disabled"  # its keys are refused, its data kept


class KeyState(enum.Enum):
    ACTIVE = "active"
    REVOKED = "revoked"  # kept for ever: the kid stands in the ledger


@dataclass(frozen=True, slots=True)
class ProjectConfig:
    """A project, under one version of its config."""

    project_id: str
    name: str
    version: int  # raised by every change of the project or of one of its keys
    state: ProjectState
    limits: Limits
    created_at: int  # Unix time, s


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key as the store knows it: without its secret."""

    kid: str
    name: str
    state: KeyState
    hashed_secret: HashedSecret
    default_project_id: str
    project_ids: frozenset[str]  # projects the key may use, the default one included
    created_at: int  # Unix time, s
    expires_at: int | None  # Unix time, s; None: never


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
    )


def write_project(project: ProjectConfig) -> Hash:
    """The hash of a project."""
    return {
        "ver": str(project.version),
        "name": project.name,
        "state": project.state.value,
        "created_at": str(project.created_at),
        "limits": limits_text(project.limits),
    }


def read_key(kid: str, stored: Mapping[str, str]) -> KeyRecord | None:
    """The key in the hash `gw:key:<kid>`, or None if there is none."""
    if not stored:
        return None
    return KeyRecord(
        kid=kid,
        name=stored["name"],
        state=KeyState(stored["state"]),
        hashed_secret=HashedSecret(int(stored["pv"]), bytes.fromhex(stored["hash"])),
        default_project_id=stored["default_project"],
        project_ids=frozenset(stored["projects"].split(",")),
        created_at=int(stored["created_at"]),
        expires_at=int(stored["expires_at"]) if "expires_at" in stored else None,
    )


def write_key(key: KeyRecord) -> Hash:
    """The hash of a key."""
    stored: Hash = {
        "name": key.name,
        "state": key.state.value,
        "pv": str(key.hashed_secret.pepper_version),
        "hash": key.hashed_secret.digest.hex(),
        "default_project": key.default_project_id,
        "projects": ",".join(sorted(key.project_ids)),
        "created_at": str(key.created_at),
    }
    if key.expires_at is not None:
        stored["expires_at"] = str(key.expires_at)
    return stored
