"""gwctl: projects, API keys and usage, from the command line.

Every command is an async function from arguments to rows; `main` prints the rows
as a table or as JSON. What an operator can do nothing about but read -- no such
project, Redis is away -- is a Complaint: one sentence, exit code 1.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import NoReturn, assert_never

import anyio
from redis.asyncio import Redis

from gateway.iam.project_id import is_project_id
from gateway.iam.secret_hash import Peppers
from gateway.quota.limits import Limits
from gateway.store.administration import (
    Administration,
    IssuedKey,
    ProjectExists,
    UnknownKey,
    UnknownProject,
)
from gateway.store.connection import connect
from gateway.store.errors import StoreUnavailable
from gateway.store.records import KeyRecord, ProjectConfig
from gateway.store.usage import UsageReader

Row = Mapping[str, object]
Command = Callable[[argparse.Namespace, Redis], Awaitable[Row | Sequence[Row]]]

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"
TIMEOUT_S = 2.0
DEFAULT_USAGE_DAYS = 30

HELP = """\
Manage the projects of the gateway, their API keys, and see what they have used.

A project has quotas and pays; its keys let clients in.
"""
EXAMPLES = """\
examples:
  gwctl project create search --requests-per-minute 600 --tokens-per-minute 500000
  gwctl key create --project prj_5GmXw3Yk1ZrQb8TnLd0VuE --name ci --expires 90d
  gwctl key list --project prj_5GmXw3Yk1ZrQb8TnLd0VuE
  gwctl key revoke 8fKq2LxZ0aPwT3mB
  gwctl usage --project prj_5GmXw3Yk1ZrQb8TnLd0VuE --since 2026-11-01 -o json

environment:
  REDIS_URL             where the gateway keeps its state (default redis://127.0.0.1:6379/0)
  GATEWAY_KEY_PEPPERS   what key hashes are made with, as in the gateway: 1:<64 hex digits>;
                        only `key create` needs it
"""


class Complaint(Exception):
    """Why a command was not carried out, in one sentence for the operator."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Raises SystemExit for --help and wrong usage."""
    arguments = _parser().parse_args(argv)
    try:
        answer = anyio.run(_run, arguments)
    except Complaint as complaint:
        print(f"gwctl: {complaint}", file=sys.stderr)
        return 1
    except StoreUnavailable as exc:
        print(f"gwctl: Redis is not available ({exc}).", file=sys.stderr)
        return 1
    print(_as_json(answer) if arguments.output == "json" else _as_table(answer))
    return 0


async def _run(arguments: argparse.Namespace) -> Row | Sequence[Row]:
    try:
        redis = connect(os.environ.get("REDIS_URL", DEFAULT_REDIS_URL), timeout_s=TIMEOUT_S)
    except ValueError as exc:
        raise Complaint(f"REDIS_URL is wrong: {exc}") from exc
    command: Command = arguments.command
    async with redis:
        return await command(arguments, redis)


# -- commands ---------------------------------------------------------------


async def _create_project(arguments: argparse.Namespace, redis: Redis) -> Row:
    limits = Limits(
        requests_per_minute=arguments.requests_per_minute,
        tokens_per_minute=arguments.tokens_per_minute,
        concurrent_requests=arguments.concurrent_requests,
    )
    match await Administration(redis).create_project(arguments.name, limits, with_id=arguments.id):
        case ProjectConfig() as project:
            return _project_row(project)
        case ProjectExists(project_id):
            raise Complaint(f"There is a project {project_id} already; nothing was changed.")
        case never:
            assert_never(never)


async def _list_projects(arguments: argparse.Namespace, redis: Redis) -> Sequence[Row]:
    return [_project_row(project) for project in await Administration(redis).list_projects()]


async def _create_key(arguments: argparse.Namespace, redis: Redis) -> Row:
    peppers = _peppers()
    expires_at = None if arguments.expires is None else int(time.time()) + arguments.expires
    match await Administration(redis).create_key(
        arguments.project, arguments.name, peppers=peppers, expires_at=expires_at
    ):
        case IssuedKey(token, record):
            # Said on stderr, so that `gwctl ... -o json | jq` stays JSON.
            print("The token is shown this once; only its hash is kept.", file=sys.stderr)
            return {**_key_row(record), "token": token}
        case UnknownProject(project_id):
            _complain_of_project(project_id)
        case never:
            assert_never(never)


async def _list_keys(arguments: argparse.Namespace, redis: Redis) -> Sequence[Row]:
    administration = Administration(redis)
    if arguments.project is not None:
        await _require_project(administration, arguments.project)
    return [_key_row(record) for record in await administration.list_keys(arguments.project)]


async def _revoke_key(arguments: argparse.Namespace, redis: Redis) -> Row:
    match await Administration(redis).revoke_key(arguments.kid):
        case KeyRecord() as record:
            return _key_row(record)
        case UnknownKey(kid):
            raise Complaint(f"There is no key {kid}; `gwctl key list` shows all.")
        case never:
            assert_never(never)


async def _usage(arguments: argparse.Namespace, redis: Redis) -> Sequence[Row]:
    await _require_project(Administration(redis), arguments.project)
    until: date = arguments.until or datetime.now(UTC).date()
    since: date = arguments.since or until - timedelta(days=DEFAULT_USAGE_DAYS - 1)
    try:
        found = await UsageReader(redis).daily(arguments.project, since, until)
    except ValueError as exc:
        raise Complaint(f"That is too long a time: {exc}.") from exc
    return [
        {
            "day": daily.day.isoformat(),
            "model": daily.model,
            "kid": daily.kid,
            "requests": daily.requests,
            **asdict(daily.usage),
        }
        for daily in found
    ]


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


# -- rows -------------------------------------------------------------------


def _project_row(project: ProjectConfig) -> Row:
    return {
        "id": project.project_id,
        "name": project.name,
        "state": project.state.value,
        **asdict(project.limits),
        "created": _timestamp(project.created_at),
    }


def _key_row(record: KeyRecord) -> Row:
    return {
        "kid": record.kid,
        "name": record.name,
        "project": record.default_project_id,
        "state": record.state.value,
        "created": _timestamp(record.created_at),
        "expires": None if record.expires_at is None else _timestamp(record.expires_at),
    }


def _timestamp(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _as_json(answer: Row | Sequence[Row]) -> str:
    return json.dumps(answer, indent=2)


def _as_table(answer: Row | Sequence[Row]) -> str:
    """One row downwards, for it is read; many across, for they are compared."""
    if isinstance(answer, Mapping):
        width = max(len(name) for name in answer)
        return "\n".join(f"{name:<{width}}  {_cell(value)}" for name, value in answer.items())
    if not answer:
        return "(none)"
    names = list(answer[0])
    cells = [[name.upper() for name in names]]
    cells += [[_cell(row[name]) for name in names] for row in answer]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    numeric = [isinstance(answer[0][name], int) for name in names]
    return "\n".join(
        "  ".join(
            f"{cell:>{width}}" if right else f"{cell:<{width}}"
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in cells
    )


def _cell(value: object) -> str:
    return "-" if value is None else str(value)


# -- arguments --------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    as_written = argparse.RawDescriptionHelpFormatter
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "-o",
        "--output",
        choices=("table", "json"),
        default="table",
        help="how to print the answer (default: table)",
    )
    parser = argparse.ArgumentParser(
        prog="gwctl", description=HELP, epilog=EXAMPLES, formatter_class=as_written
    )
    nouns = parser.add_subparsers(required=True, metavar="{project,key,usage}")

    project = nouns.add_parser("project", help="create and list projects")
    verbs = project.add_subparsers(required=True, metavar="{create,list}")
    create = verbs.add_parser("create", parents=[common], help="create a project")
    create.set_defaults(command=_create_project)
    create.add_argument("name", help="a name for people; it need not be unique")
    for limit, what in (
        ("--requests-per-minute", "requests admitted in a minute"),
        ("--tokens-per-minute", "input and output tokens in a minute"),
        ("--concurrent-requests", "requests in flight at once"),
    ):
        create.add_argument(limit, type=_positive, metavar="N", help=f"{what} (default: no limit)")
    create.add_argument("--id", type=_project_id, help="use this id instead of a random one")
    listing = verbs.add_parser("list", parents=[common], help="list all projects")
    listing.set_defaults(command=_list_projects)

    key = nouns.add_parser("key", help="create, list and revoke API keys")
    verbs = key.add_subparsers(required=True, metavar="{create,list,revoke}")
    create = verbs.add_parser(
        "create", parents=[common], help="create a key; its token is printed once"
    )
    create.set_defaults(command=_create_key)
    create.add_argument("--project", required=True, metavar="ID", help="the project it is for")
    create.add_argument("--name", default="", help="a name for people")
    create.add_argument(
        "--expires", type=_seconds, metavar="30d", help="12h, 30d or 8w (default: never)"
    )
    listing = verbs.add_parser("list", parents=[common], help="list keys, revoked ones as well")
    listing.set_defaults(command=_list_keys)
    listing.add_argument("--project", metavar="ID", help="only those of this project")
    revoke = verbs.add_parser(
        "revoke", parents=[common], help="refuse a key from its next request on"
    )
    revoke.set_defaults(command=_revoke_key)
    revoke.add_argument("kid", metavar="KID", help="as `gwctl key list` shows it")

    usage = nouns.add_parser("usage", parents=[common], help="what a project has used, by day")
    usage.set_defaults(command=_usage)
    usage.add_argument("--project", required=True, metavar="ID")
    usage.add_argument(
        "--since", type=_day, metavar="YYYY-MM-DD", help="first day, UTC (default: 30 days)"
    )
    usage.add_argument(
        "--until", type=_day, metavar="YYYY-MM-DD", help="last day, UTC (default: today)"
    )
    return parser


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _project_id(text: str) -> str:
    if not is_project_id(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not 8 to 64 letters, digits, _ or -")
    return text


def _seconds(text: str) -> int:
    match = re.fullmatch(r"([1-9][0-9]{0,4})([hdw])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 12h, 30d or 8w")
    return int(match[1]) * {"h": 3600, "d": 86_400, "w": 604_800}[match[2]]


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day like 2026-11-30") from None


if __name__ == "__main__":
    sys.exit(main())
