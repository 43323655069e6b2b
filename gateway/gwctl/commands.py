"""What gwctl does: each command is an async function from arguments to rows.

A command that cannot be carried out raises Complaint.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NoReturn, assert_never

from gateway.gwctl.tables import (
    Answer,
    Row,
    difference_row,
    key_row,
    ledger_row,
    project_row,
    usage_row,
)
from gateway.iam.secret_hash import Peppers
from gateway.quota.limits import MODES, NO_LIMITS, QUOTAS
from gateway.store.administration import (
    Administration,
    IssuedKey,
    ProjectExists,
    UnknownKey,
    UnknownOrganisation,
    UnknownPrincipal,
    UnknownProject,
    WrongPepper,
)
from gateway.store.books import Books
from gateway.store.connection import Store
from gateway.store.records import KeyRecord, ProjectConfig, ProjectState
from gateway.store.usage import UsageReader

Command = Callable[[argparse.Namespace, Store], Awaitable[Answer]]

DEFAULT_USAGE_DAYS = 30


class Complaint(Exception):
    """Why a command was not carried out, in one sentence for the operator."""


async def create_project(arguments: argparse.Namespace, store: Store) -> Row:
    limits = NO_LIMITS.changed(_named_limits(arguments))
    match await Administration(store).create_project(arguments.name, limits, with_id=arguments.id):
        case ProjectConfig() as project:
            return project_row(project)
        case ProjectExists(project_id):
            raise Complaint(f"There is a project {project_id} already; nothing was changed.")
        case UnknownOrganisation(organisation_id):
            raise Complaint(f"There is no organisation {organisation_id}.")
        case never:
            assert_never(never)


async def list_projects(arguments: argparse.Namespace, store: Store) -> Sequence[Row]:
    return [project_row(project) for project in await Administration(store).list_projects()]


async def set_limits(arguments: argparse.Namespace, store: Store) -> Row:
    named = _named_limits(arguments)
    if not named:
        raise Complaint("Nothing is to be set; `gwctl project set --help` lists the limits.")
    return _changed(await Administration(store).set_limits(arguments.id, named))


def _named_limits(arguments: argparse.Namespace) -> dict[str, int | str | None]:
    """The parser leaves out what was not named: None is a word, "no limit"."""
    return {
        name: getattr(arguments, name) for name in (*QUOTAS, *MODES) if hasattr(arguments, name)
    }


async def enable_project(arguments: argparse.Namespace, store: Store) -> Row:
    return _changed(await Administration(store).set_state(arguments.id, ProjectState.ACTIVE))


async def disable_project(arguments: argparse.Namespace, store: Store) -> Row:
    return _changed(await Administration(store).set_state(arguments.id, ProjectState.DISABLED))


async def create_key(arguments: argparse.Namespace, store: Store) -> Row:
    peppers = _peppers()
    expires_at = None if arguments.expires is None else int(time.time()) + arguments.expires
    match await Administration(store).create_key(
        arguments.project, arguments.name or "", peppers=peppers, expires_at=expires_at
    ):
        case IssuedKey(token, record):
            # Said on stderr, so that `gwctl ... -o json | jq` stays JSON.
            print("The token is shown this once; only its hash is kept.", file=sys.stderr)
            return {**key_row(record), "token": token}
        case UnknownProject(project_id):
            _complain_of_project(project_id)
        case UnknownPrincipal(principal_id):
            raise Complaint(f"There is no {principal_id}, or it was deleted.")
        case WrongPepper(version):
            raise Complaint(
                f"GATEWAY_KEY_PEPPERS has another pepper {version} than the keys here were made with;"
                " a key made with it would be refused. Use the value that the gateway runs with."
            )
        case never:
            assert_never(never)


async def list_keys(arguments: argparse.Namespace, store: Store) -> Sequence[Row]:
    administration = Administration(store)
    if arguments.project is not None:
        await _require_project(administration, arguments.project)
    return [key_row(record) for record in await administration.list_keys(arguments.project)]


async def revoke_key(arguments: argparse.Namespace, store: Store) -> Row:
    match await Administration(store).revoke_key(arguments.kid):
        case KeyRecord() as record:
            return key_row(record)
        case UnknownKey(kid):
            raise Complaint(f"There is no key {kid}; `gwctl key list` shows all.")
        case never:
            assert_never(never)


async def usage(arguments: argparse.Namespace, store: Store) -> Sequence[Row]:
    await _require_project(Administration(store), arguments.project)
    until: date = arguments.until or datetime.now(UTC).date()
    since: date = arguments.since or until - timedelta(days=DEFAULT_USAGE_DAYS - 1)
    if since > until:
        raise Complaint(f"--since {since} is after --until {until}.")
    try:
        found = await UsageReader(store).daily(arguments.project, since, until)
    except ValueError as exc:
        raise Complaint(f"That is too long a time: {exc}.") from exc
    return [usage_row(daily) for daily in found]


async def ledger(arguments: argparse.Namespace, store: Store) -> Sequence[Row]:
    await _require_project(Administration(store), arguments.project)
    reader, limit = UsageReader(store), arguments.limit
    if arguments.after is None:
        entries = await reader.ledger_end(arguments.project, count=limit)
    else:
        entries = await reader.ledger_page(arguments.project, after=arguments.after, count=limit)
    return [ledger_row(entry) for entry in entries]


async def audit(arguments: argparse.Namespace, store: Store) -> Sequence[Row]:
    if arguments.project is not None:
        await _require_project(Administration(store), arguments.project)
        project_ids = [arguments.project]
    else:
        projects = await Administration(store).list_projects()
        project_ids = [project.project_id for project in projects]
    audited = [await Books(store).audit(project_id) for project_id in project_ids]
    differences = [difference_row(each) for books in audited for each in books.differences]
    entries = sum(books.entries for books in audited)
    leases = sum(books.open_leases for books in audited)
    # Said on stderr, so that `gwctl ... -o json | jq` stays JSON.
    print(
        f"{len(audited)} projects, {entries} entries of their ledgers, {leases} open leases:"
        f" {len(differences)} differences.",
        file=sys.stderr,
    )
    if differences and leases:
        print(
            "Responses are being charged just now: look again at a quiet moment.", file=sys.stderr
        )
    return differences


def _changed(answer: ProjectConfig | UnknownProject) -> Row:
    match answer:
        case ProjectConfig() as project:
            return project_row(project)
        case UnknownProject(project_id):
            _complain_of_project(project_id)
        case never:
            assert_never(never)


def _peppers() -> Peppers:
    setting = os.environ.get("GATEWAY_KEY_PEPPERS")
    if not setting:
        raise Complaint("GATEWAY_KEY_PEPPERS is not set; use the value that the gateway runs with.")
    try:
        return Peppers.parse(setting)
    except ValueError as exc:
        raise Complaint(f"GATEWAY_KEY_PEPPERS is wrong: {exc}.") from exc


async def _require_project(administration: Administration, project_id: str) -> None:
    if await administration.find_project(project_id) is None:
        _complain_of_project(project_id)


def _complain_of_project(project_id: str) -> NoReturn:
    raise Complaint(f"There is no project {project_id}; `gwctl project list` shows all.")
