"""gwctl key, gwctl admin-key."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.gwctl import values
from gateway.gwctl.admin_client import AdminClient
from gateway.gwctl.complaint import Complaint
from gateway.gwctl.parsing import (
    KEY_HELP,
    Subparsers,
    add_cidrs,
    add_command,
    add_expiry,
    add_limits,
    add_noun,
    add_project,
    named_limits,
)
from gateway.gwctl.projects import PROJECTS, project_path
from gateway.gwctl.tables import Row, limits_row, timestamp
from gateway.iam import api_key

ADMIN_KEYS = "/v1/organization/admin_api_keys"
DEFAULT_OVERLAP_S = 86_400
_PROJECT = "prj_5GmXw3Yk1ZrQb8TnLd0VuE"
_KID = "8fKq2LxZ0aPwT3mB"


def add(nouns: Subparsers) -> None:
    verbs = add_noun(
        nouns,
        "key",
        "create, list, rotate, limit and revoke API keys",
        *("create", "list", "show", "rotate", "set", "revoke", "mint"),
    )
    create = add_command(
        verbs,
        "create",
        create_key,
        "create a key; its token is printed once",
        f"key create --project {_PROJECT} --name ci --expires 90d",
        f"key create --project {_PROJECT} --name ci --cidr 10.0.0.0/8 --requests-per-minute 60",
        f"key create --project {_PROJECT} -o json | jq -r .token",
        needs_peppers=True,
    )
    add_project(create, help="the project it is for")
    create.add_argument("--name", type=values.name, help="a name for people")
    create.add_argument(
        "--principal",
        metavar="ID",
        help="the application or user that bears it (default: an application of the project's own)",
    )
    add_expiry(create)
    add_cidrs(create)
    add_limits(create, "N", values.positive, "default: those of the project only")
    listing = add_command(
        verbs,
        "list",
        list_keys,
        "list keys, revoked ones as well",
        f"key list --project {_PROJECT}",
    )
    add_project(listing, required=False, help="only those of this project")
    show = add_command(
        verbs,
        "show",
        show_key,
        "tell what a key is, as ledgers and logs name it",
        f"key show {_KID}",
    )
    rotate = add_command(
        verbs,
        "rotate",
        rotate_key,
        "give a key a new token, printed once; the old one works for a while longer",
        f"key rotate {_KID} --overlap 2d",
        needs_peppers=True,
    )
    _add_overlap(rotate)
    change = add_command(
        verbs,
        "set",
        set_limits,
        "change limits of a key's own",
        f"key set {_KID} --requests-per-minute 60 --daily-tokens none",
        more="Those that are named; the others stay. They hold from the next request on, beside\n"
        "those of the project.",
    )
    add_limits(change, "N|none", values.positive_or_none, "none: no limit")
    revoke = add_command(
        verbs,
        "revoke",
        revoke_key,
        "refuse a key from its next request on",
        f"key revoke {_KID}",
    )
    for each in (show, rotate, change, revoke):
        each.add_argument("kid", type=values.kid, metavar="KID", help=KEY_HELP)
    mint = add_command(
        verbs,
        "mint",
        mint_key,
        "print a new token that nothing knows yet, for a file of `gwctl apply`",
        "key mint -o json | jq -r .token > ci-1.token",
        more="Neither a gateway nor Redis is asked. Keep the token where secrets belong.",
    )
    mint.set_defaults(needs_api=False)

    verbs = add_noun(
        nouns, "admin-key", "keys for the admin API", "create", "list", "rotate", "revoke"
    )
    create = add_command(
        verbs,
        "create",
        create_admin_key,
        "create a key for the admin API; its token is printed once",
        "admin-key create --principal usr_4kT2 --name laptop --expires 90d",
        more="It may do what the policies of its principal say: `gwctl policy create`.",
        needs_peppers=True,
    )
    create.add_argument("--principal", required=True, metavar="ID", help="who bears it")
    create.add_argument("--name", type=values.name, help="a name for people")
    add_expiry(create)
    add_cidrs(create)
    add_command(
        verbs, "list", list_admin_keys, "list admin keys, revoked ones as well", "admin-key list"
    )
    rotate = add_command(
        verbs,
        "rotate",
        rotate_admin_key,
        "give an admin key a new token, printed once; the old one works for a while longer",
        f"admin-key rotate {_KID}",
        needs_peppers=True,
    )
    _add_overlap(rotate)
    revoke = add_command(
        verbs,
        "revoke",
        revoke_admin_key,
        "refuse an admin key from its next request on",
        f"admin-key revoke {_KID}",
    )
    for each in (rotate, revoke):
        each.add_argument("kid", type=values.kid, metavar="KID", help=KEY_HELP)


async def create_key(arguments: argparse.Namespace, api: AdminClient) -> Row:
    body = _body(arguments)
    body["limits"] = named_limits(arguments)
    if arguments.principal is not None:
        body["principal_id"] = arguments.principal
    return token_row(await api.post(f"{project_path(arguments.project)}/api_keys", body))


async def list_keys(arguments: argparse.Namespace, api: AdminClient) -> Sequence[Row]:
    if arguments.project is not None:
        paths = [project_path(arguments.project)]
    else:
        projects = await api.all(PROJECTS, include_archived="true")
        paths = [project_path(project["id"]) for project in projects]
    return [key_row(key) for path in paths for key in await api.all(f"{path}/api_keys")]


async def show_key(arguments: argparse.Namespace, api: AdminClient) -> Row:
    key = await _found(arguments.kid, api)
    return {
        **key_row(key),
        "source_cidrs": key["source_cidrs"],
        "previous_secret_until": timestamp(key["previous_secret_until"]),
        "managed": key["managed"],
        **limits_row(key["limits"]),
    }


async def rotate_key(arguments: argparse.Namespace, api: AdminClient) -> Row:
    path = await _path(arguments.kid, api)
    return token_row(await api.post(f"{path}/rotate", {"overlap_seconds": arguments.overlap}))


async def set_limits(arguments: argparse.Namespace, api: AdminClient) -> Row:
    named = named_limits(arguments)
    if not named:
        raise Complaint("Nothing is to be set; `gwctl key set --help` lists the limits.")
    key = await api.post(f"{await _path(arguments.kid, api)}/limits", named)
    return {**key_row(key), **limits_row(key["limits"])}


async def revoke_key(arguments: argparse.Namespace, api: AdminClient) -> Row:
    key = await _found(arguments.kid, api)
    if key["project_id"] is None:
        raise Complaint(f"{arguments.kid} is an admin key: `gwctl admin-key revoke` does it.")
    return key_row(await api.post(f"{project_path(key['project_id'])}/api_keys/{key['id']}/revoke"))


def mint_key(arguments: argparse.Namespace) -> Row:
    key = api_key.mint(os.urandom(api_key.ENTROPY_BYTES))
    return {"kid": key.kid, "token": key.token}


async def create_admin_key(arguments: argparse.Namespace, api: AdminClient) -> Row:
    body = {**_body(arguments), "principal_id": arguments.principal}
    return token_row(await api.post(ADMIN_KEYS, body))


async def list_admin_keys(arguments: argparse.Namespace, api: AdminClient) -> Sequence[Row]:
    return [key_row(key) for key in await api.all(ADMIN_KEYS)]


async def rotate_admin_key(arguments: argparse.Namespace, api: AdminClient) -> Row:
    body = {"overlap_seconds": arguments.overlap}
    return token_row(await api.post(f"{ADMIN_KEYS}/{arguments.kid}/rotate", body))


async def revoke_admin_key(arguments: argparse.Namespace, api: AdminClient) -> Row:
    await api.delete(f"{ADMIN_KEYS}/{arguments.kid}")
    return {"kid": arguments.kid, "state": "revoked"}


def key_row(key: Mapping[str, Any]) -> Row:
    return {
        "kid": key["id"],
        "name": key["name"],
        "project": key["project_id"],
        "principal": key["principal_id"],
        "state": key["status"],
        "pepper": key["pepper_version"],
        "created": timestamp(key["created_at"]),
        "last_used": timestamp(key["last_used_at"]),
        "expires": timestamp(key["expires_at"]),
    }


def token_row(key: Mapping[str, Any]) -> Row:
    # Said on stderr, so that `gwctl ... -o json | jq` stays JSON.
    print("The token is shown this once; only its hash is kept.", file=sys.stderr)
    return {**key_row(key), "token": key["value"]}


def _body(arguments: argparse.Namespace) -> dict[str, object]:
    body: dict[str, object] = {"name": arguments.name or ""}
    if arguments.expires is not None:
        body["expires_at"] = int(time.time()) + arguments.expires
    if arguments.cidr is not None:
        body["source_cidrs"] = arguments.cidr
    return body


def _add_overlap(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--overlap",
        type=values.seconds_or_none,
        default=DEFAULT_OVERLAP_S,
        metavar="1d",
        help="how long the old token works: 12h, 2d, or 0 (default: 1d)",
    )


async def _found(kid: str, api: AdminClient) -> Mapping[str, Any]:
    try:
        return await api.get(f"/admin/v1/keys/{kid}")
    except Complaint as refused:
        if refused.code == "no_such_object":
            raise Complaint(f"There is no key {kid}; `gwctl key list` shows all.") from refused
        raise


async def _path(kid: str, api: AdminClient) -> str:
    key = await _found(kid, api)
    if key["project_id"] is None:
        raise Complaint(f"{kid} is an admin key: see `gwctl admin-key --help`.")
    return f"{project_path(key['project_id'])}/api_keys/{kid}"
