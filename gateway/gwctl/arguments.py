"""The command line: what can be said, and help that teaches it with examples."""

from __future__ import annotations

import argparse
import importlib.metadata
from collections.abc import Callable
from typing import Any, TypeAlias

from gateway.gwctl import commands, values
from gateway.quota.limits import MODES

_Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

DEFAULT_LEDGER_ENTRIES = 100
PROJECT_HELP = "as `gwctl project list` shows it"

HELP = """\
Manage the projects of the gateway, their API keys, and see what they have used.

A project has quotas and pays; its keys let clients in.
"""
EXAMPLES = """\
examples:
  gwctl project create search --requests-per-minute 600 --tokens-per-minute 500000
  gwctl project set prj_5GmXw3Yk1ZrQb8TnLd0VuE --concurrent-requests 50
  gwctl project disable prj_5GmXw3Yk1ZrQb8TnLd0VuE
  gwctl key create --project prj_5GmXw3Yk1ZrQb8TnLd0VuE --name ci --expires 90d
  gwctl key list --project prj_5GmXw3Yk1ZrQb8TnLd0VuE
  gwctl key revoke 8fKq2LxZ0aPwT3mB
  gwctl usage --project prj_5GmXw3Yk1ZrQb8TnLd0VuE --since 2026-11-01 -o json
  gwctl ledger --project prj_5GmXw3Yk1ZrQb8TnLd0VuE --limit 20
  gwctl audit --project prj_5GmXw3Yk1ZrQb8TnLd0VuE

`gwctl project set --help` and the like tell more.

environment:
  REDIS_URL             where the gateway keeps its state (default redis://127.0.0.1:6379/0)
  GATEWAY_KEY_PEPPERS   what key hashes are made with, as in the gateway: 1:<64 hex digits>;
                        only `key create` needs it
"""
# By command, for those whose sentence and options need no more than an example.
EXAMPLES_OF = {
    "gwctl project create": """\
  gwctl project create search
  gwctl project create search --requests-per-minute 600 --tokens-per-minute 500000
""",
    "gwctl project list": """\
  gwctl project list -o json
""",
    "gwctl project disable": """\
  gwctl project disable prj_5GmXw3Yk1ZrQb8TnLd0VuE
""",
    "gwctl project enable": """\
  gwctl project enable prj_5GmXw3Yk1ZrQb8TnLd0VuE
""",
    "gwctl key create": """\
  gwctl key create --project prj_5GmXw3Yk1ZrQb8TnLd0VuE --name ci --expires 90d
  gwctl key create --project prj_5GmXw3Yk1ZrQb8TnLd0VuE -o json | jq -r .token
""",
    "gwctl key list": """\
  gwctl key list --project prj_5GmXw3Yk1ZrQb8TnLd0VuE
""",
    "gwctl key revoke": """\
  gwctl key revoke 8fKq2LxZ0aPwT3mB
""",
    "gwctl usage": """\
  gwctl usage --project prj_5GmXw3Yk1ZrQb8TnLd0VuE
  gwctl usage --project prj_5GmXw3Yk1ZrQb8TnLd0VuE --since 2026-11-01 --until 2026-11-30 -o json
""",
}
SET_HELP = """\
Change the limits that are named; the others stay. They hold from the next request on.

examples:
  gwctl project set prj_5GmXw3Yk1ZrQb8TnLd0VuE --tokens-per-minute 1000000
  gwctl project set prj_5GmXw3Yk1ZrQb8TnLd0VuE --requests-per-minute none
"""
AUDIT_HELP = """\
Recompute what was used from the ledger, and compare it with the counters of each day and with
what the budgets say is used. At a quiet moment there is no difference; exit code 1 if there is.

examples:
  gwctl audit
  gwctl audit --project prj_5GmXw3Yk1ZrQb8TnLd0VuE -o json
"""
LEDGER_HELP = """\
One row for each response that was charged, in the order they were: the last ones,
or with --after the next ones, for an export that goes on where it has stopped.

examples:
  gwctl ledger --project prj_5GmXw3Yk1ZrQb8TnLd0VuE --limit 20
  gwctl ledger --project prj_5GmXw3Yk1ZrQb8TnLd0VuE --after 0-0 --limit 1000 -o json
  gwctl ledger --project prj_5GmXw3Yk1ZrQb8TnLd0VuE --after 1795348800123-0 --limit 1000 -o json
"""


def parser() -> argparse.ArgumentParser:
    """Parses into a namespace with `command`, `output`, and what the command needs."""
    parser = argparse.ArgumentParser(
        prog="gwctl",
        description=HELP,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action="version", version=f"gwctl {importlib.metadata.version('llm-gateway')}"
    )
    _add_output(parser)
    # Here and not there: a subparser's default would override what was said before the verb.
    parser.set_defaults(output="table", rows_are_wrong=False)
    nouns = parser.add_subparsers(required=True, metavar="{project,key,usage,ledger,audit}")
    _add_project_commands(nouns)
    _add_key_commands(nouns)

    usage = _command(nouns, "usage", commands.usage, "what a project has used, by day")
    usage.add_argument("--project", required=True, metavar="ID", help=PROJECT_HELP)
    day: dict[str, Any] = {"type": values.day, "metavar": "YYYY-MM-DD"}
    usage.add_argument("--since", **day, help="first day, UTC (default: 30 days)")
    usage.add_argument("--until", **day, help="last day, UTC (default: today)")

    ledger = _command(
        nouns, "ledger", commands.ledger, "what a project was charged, by response", LEDGER_HELP
    )
    ledger.add_argument("--project", required=True, metavar="ID", help=PROJECT_HELP)
    ledger.add_argument(
        *("--limit", "-n"),
        type=values.positive,
        default=DEFAULT_LEDGER_ENTRIES,
        metavar="N",
        help=f"at most so many (default: {DEFAULT_LEDGER_ENTRIES})",
    )
    ledger.add_argument(
        "--after", type=values.entry_id, metavar="ENTRY", help="0-0: from the first on"
    )

    audit = _command(
        nouns, "audit", commands.audit, "compare ledger, counters and budgets", AUDIT_HELP
    )
    audit.set_defaults(rows_are_wrong=True)
    audit.add_argument("--project", metavar="ID", help="only this one (default: all)")
    return parser


def _add_project_commands(nouns: _Subparsers) -> None:
    project = nouns.add_parser("project", help="create, list, limit and disable projects")
    _add_output(project)
    verbs = project.add_subparsers(required=True, metavar="{create,list,set,disable,enable}")
    create = _command(verbs, "create", commands.create_project, "create a project")
    create.add_argument("name", type=values.name, help="a name for people; it need not be unique")
    _add_limits(create, "N", values.positive, "default: no limit")
    create.add_argument("--id", type=values.project_id, help="use this id instead of a random one")
    _command(verbs, "list", commands.list_projects, "list all projects")
    change = _command(verbs, "set", commands.set_limits, "change limits", SET_HELP)
    _add_limits(change, "N|none", values.positive_or_none, "none: no limit")
    disable = _command(
        verbs,
        "disable",
        commands.disable_project,
        "answer a project 403 from its next request on; its data stays",
    )
    # Keys that were refused a moment ago are cached as such: Directory's cache_s.
    enable = _command(
        verbs, "enable", commands.enable_project, "serve a disabled project again, within 10 s"
    )
    for each in (change, disable, enable):
        each.add_argument("id", metavar="ID", help=PROJECT_HELP)


def _add_key_commands(nouns: _Subparsers) -> None:
    key = nouns.add_parser("key", help="create, list and revoke API keys")
    _add_output(key)
    verbs = key.add_subparsers(required=True, metavar="{create,list,revoke}")
    create = _command(
        verbs, "create", commands.create_key, "create a key; its token is printed once"
    )
    create.add_argument("--project", required=True, metavar="ID", help="the project it is for")
    create.add_argument("--name", type=values.name, help="a name for people")
    create.add_argument(
        "--expires", type=values.seconds, metavar="30d", help="12h, 30d or 8w (default: never)"
    )
    listing = _command(verbs, "list", commands.list_keys, "list keys, revoked ones as well")
    listing.add_argument("--project", metavar="ID", help="only those of this project")
    revoke = _command(verbs, "revoke", commands.revoke_key, "refuse a key from its next request on")
    revoke.add_argument(
        "kid",
        type=values.kid,
        metavar="KID",
        help="as `gwctl key list` shows it; a whole token is taken too",
    )


def _add_limits(
    verb: argparse.ArgumentParser, metavar: str, value: Callable[[str], object], note: str
) -> None:
    """What is not said is not in the namespace: `set` has to tell it from "none"."""
    for limit, what in (
        ("--requests-per-minute", "requests admitted in a minute"),
        ("--tokens-per-minute", "input and output tokens in a minute"),
        ("--input-tokens-per-minute", "input tokens in a minute"),
        ("--output-tokens-per-minute", "output tokens in a minute"),
        ("--concurrent-requests", "requests in flight at once"),
        ("--daily-tokens", "budget of a day (UTC), input and output"),
        ("--monthly-tokens", "budget of a month (UTC), input and output"),
    ):
        verb.add_argument(
            limit,
            type=value,
            metavar=metavar,
            default=argparse.SUPPRESS,
            help=f"{what} ({note})",
        )
    for mode, of in (
        ("rate_mode", "what exceeds the limits of a minute"),
        ("daily_mode", "what exceeds the budget of a day"),
        ("monthly_mode", "what exceeds the budget of a month"),
    ):
        verb.add_argument(
            f"--{mode.replace('_', '-')}",
            choices=MODES[mode],
            default=argparse.SUPPRESS,
            help=f"{of} (default: hard)",
        )


def _command(
    among: _Subparsers, name: str, command: commands.Command, help: str, teaching: str | None = None
) -> argparse.ArgumentParser:
    added = among.add_parser(
        name,
        help=help,
        description=teaching or f"{help[0].upper()}{help[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if teaching is None:
        added.epilog = f"examples:\n{EXAMPLES_OF[added.prog]}"
    added.set_defaults(command=command)
    _add_output(added)
    return added


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        *("-o", "--output"),
        choices=("table", "json"),
        default=argparse.SUPPRESS,
        help="how to print the answer (default: table)",
    )
