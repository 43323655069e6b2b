"""Who is asking, and for which project they may ask. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """The bearer of an API key that has been verified."""

    kid: str
    default_project_id: str
    projects: frozenset[str]  # ids of those that exist, are active and that the key may use


@dataclass(frozen=True, slots=True)
class Forbidden:
    """The principal may not use the project it asked for.

    There is nothing in it on purpose: "no such project" and "not yours" must
    read the same, or the answer would tell who our tenants are.
    """


def choose_project(principal: Principal, path_project_id: str | None) -> str | Forbidden:
    """The project a request is for: the one in its path, else the key's default."""
    project_id = principal.default_project_id if path_project_id is None else path_project_id
    return project_id if project_id in principal.projects else Forbidden()
