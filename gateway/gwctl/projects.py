"""gwctl project, gwctl organization."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.gwctl import values
from gateway.gwctl.admin_client import AdminClient, given
from gateway.gwctl.complaint import Complaint
from gateway.gwctl.parsing import (
    PROJECT_HELP,
    Subparsers,
    add_command,
    add_limits,
    add_noun,
    named_limits,
)
from gateway.gwctl.tables import Row, limits_row, timestamp

PROJECTS = "/v1/organization/projects"
_ID = "prj_5GmXw3Yk1ZrQb8TnLd0VuE"


def add(nouns: Subparsers) -> None:
    verbs = add_noun(
        nouns,
        "project",
        "create, list, limit and archive projects",
        *("create", "list", "show", "set", "rename", "archive", "restore"),
    )
    create = add_command(
        verbs,
        "create",
        create_project,
        "create a project",
        "project create search",
        "project create search --requests-per-minute 600 --tokens-per-minute 500000",
    )
    create.add_argument("name", type=values.name, help="a name for people; it need not be unique")
    add_limits(create, "N", values.positive, "default: no limit")
    create.add_argument("--id", type=values.project_id, help="use this id instead of a random one")
    add_command(verbs, "list", list_projects, "list all projects", "project list -o json")
    show = add_command(
        verbs,
        "show",
        show_project,
        "tell a project's limits, and what is used of its budgets",
        f"project show {_ID}",
    )
    change = add_command(
        verbs,
        "set",
        set_limits,
        "change limits",
        f"project set {_ID} --tokens-per-minute 1000000",
        f"project set {_ID} --requests-per-minute none",
        more="Those that are named; the others stay. They hold from the next request on.",
    )
    add_limits(change, "N|none", values.positive_or_none, "none: no limit")
    rename = add_command(
        verbs,
        "rename",
        rename_project,
        "give a project another name",
        f"project rename {_ID} search-2",
    )
    archive = add_command(
        verbs,
        "archive",
        archive_project,
        "answer a project's keys 403 from their next request on; its data stays",
        f"project archive {_ID}",
    )
    # Keys that were refused a moment ago are cached as such: Directory's cache_s.
    restore = add_command(
        verbs,
        "restore",
        restore_project,
        "serve an archived project again, within 10 s",
        f"project restore {_ID}",
    )
    for each in (show, change, rename, archive, restore):
        each.add_argument("id", metavar="ID", help=PROJECT_HELP)
    rename.add_argument("name", type=values.name, help="the new name")

    verbs = add_noun(nouns, "organization", "create and list organisations", "create", "list")
    organisation = add_command(
        verbs,
        "create",
        create_organisation,
        "create an organisation; only with the key the gateway was installed with",
        "organization create acme",
        more="Name it with --organization in other commands.",
    )
    organisation.add_argument("name", type=values.name, help="a name for people")
    organisation.add_argument("--id", help="use this id, org_..., instead of a random one")
    add_command(
        verbs, "list", list_organisations, "list organisations", "organization list -o json"
    )


async def create_project(arguments: argparse.Namespace, api: AdminClient) -> Row:
    body = given(name=arguments.name, limits=named_limits(arguments), id=arguments.id)
    return project_row(await api.post(PROJECTS, body))


async def list_projects(arguments: argparse.Namespace, api: AdminClient) -> Sequence[Row]:
    found = await api.all(PROJECTS, include_archived="true")
    return [project_row(project) for project in found]


async def show_project(arguments: argparse.Namespace, api: AdminClient) -> Row:
    path = project_path(arguments.id)
    project, standing = await api.get(path), await api.get(f"{path}/limits")
    return {
        **project_row(project),
        **{f"used_{name}": value for name, value in standing["used"].items()},
        **{f"reserved_{name}": value for name, value in standing["reserved"].items()},
    }


async def set_limits(arguments: argparse.Namespace, api: AdminClient) -> Row:
    named = named_limits(arguments)
    if not named:
        raise Complaint("Nothing is to be set; `gwctl project set --help` lists the limits.")
    path = project_path(arguments.id)
    await api.post(f"{path}/limits", named)
    return project_row(await api.get(path))


async def rename_project(arguments: argparse.Namespace, api: AdminClient) -> Row:
    return project_row(await api.post(project_path(arguments.id), {"name": arguments.name}))


async def archive_project(arguments: argparse.Namespace, api: AdminClient) -> Row:
    return project_row(await api.post(f"{project_path(arguments.id)}/archive"))


async def restore_project(arguments: argparse.Namespace, api: AdminClient) -> Row:
    return project_row(await api.post(f"{project_path(arguments.id)}/restore"))


async def create_organisation(arguments: argparse.Namespace, api: AdminClient) -> Row:
    body = given(name=arguments.name, id=arguments.id)
    return _organisation_row(await api.post("/admin/v1/organizations", body))


async def list_organisations(arguments: argparse.Namespace, api: AdminClient) -> Sequence[Row]:
    return [_organisation_row(each) for each in await api.all("/admin/v1/organizations")]


def project_path(project_id: str) -> str:
    """Raises Complaint for what cannot be one: it would become a part of the path."""
    try:
        return f"{PROJECTS}/{values.project_id(project_id)}"
    except argparse.ArgumentTypeError as exc:
        raise Complaint(
            "There is no such project; `gwctl project list` shows all.", code="no_such_object"
        ) from exc


def project_row(project: Mapping[str, Any]) -> Row:
    return {
        "id": project["id"],
        "name": project["name"],
        "state": project["status"],
        **limits_row(project["limits"]),
        "managed": project["managed"],
        "created": timestamp(project["created_at"]),
    }


def _organisation_row(organisation: Mapping[str, Any]) -> Row:
    return {
        "id": organisation["id"],
        "name": organisation["name"],
        "created": timestamp(organisation["created_at"]),
    }
