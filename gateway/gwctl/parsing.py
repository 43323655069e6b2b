"""What the commands have in common: how they are added to the command line, and their options."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from gateway.gwctl import values
from gateway.gwctl.admin_client import AdminClient
from gateway.gwctl.tables import Answer
from gateway.quota.limits import MODES, QUOTAS

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Command = Callable[[argparse.Namespace, AdminClient], Awaitable[Answer]]

OUTPUTS = ("table", "json", "csv")
PROJECT_HELP = "as `gwctl project list` shows it"
KEY_HELP = "as `gwctl key list` shows it; a whole token is taken too"

_LIMITS = (
    ("--requests-per-minute", "requests admitted in a minute"),
    ("--tokens-per-minute", "input and output tokens in a minute"),
    ("--input-tokens-per-minute", "input tokens in a minute"),
    ("--output-tokens-per-minute", "output tokens in a minute"),
    ("--concurrent-requests", "requests in flight at once"),
    ("--daily-tokens", "budget of a day (UTC), input and output"),
    ("--monthly-tokens", "budget of a month (UTC), input and output"),
)
_MODES = (
    ("rate_mode", "what exceeds the limits of a minute"),
    ("daily_mode", "what exceeds the budget of a day"),
    ("monthly_mode", "what exceeds the budget of a month"),
)


def add_noun(nouns: Subparsers, name: str, help: str, *verbs: str) -> Subparsers:
    """`gwctl <name>`, to which `add_command` adds these *verbs*."""
    noun = nouns.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.")
    add_output(noun)
    return noun.add_subparsers(required=True, metavar=f"{{{','.join(verbs)}}}")


def add_command(
    among: Subparsers,
    name: str,
    command: Command | Callable[[argparse.Namespace], Answer],
    help: str,
    *examples: str,
    more: str = "",
    needs_peppers: bool = False,
) -> argparse.ArgumentParser:
    """*examples*: what stands after `gwctl`; *more*: what a sentence cannot say."""
    assert examples, name
    added = among.add_parser(
        name,
        help=help,
        description="\n\n".join(filter(None, (f"{help[0].upper()}{help[1:]}.", more.strip()))),
        epilog="examples:\n" + "\n".join(f"  gwctl {each}" for each in examples) + "\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    added.set_defaults(command=command, needs_peppers=needs_peppers)
    add_output(added)
    return added


def add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        *("-o", "--output"),
        choices=OUTPUTS,
        default=argparse.SUPPRESS,
        help="how to print the answer (default: table)",
    )


def add_project(parser: argparse.ArgumentParser, *, required: bool = True, help: str = "") -> None:
    parser.add_argument("--project", required=required, metavar="ID", help=help or PROJECT_HELP)


def add_expiry(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--expires", type=values.seconds, metavar="30d", help="12h, 30d or 8w (default: never)"
    )


def add_cidrs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cidr",
        action="append",
        metavar="RANGE",
        help="where requests may come from, such as 10.0.0.0/8; may be repeated",
    )


def add_limits(
    verb: argparse.ArgumentParser, metavar: str, value: Callable[[str], object], note: str
) -> None:
    """What is not said is not in the namespace: `set` has to tell it from "none"."""
    for limit, what in _LIMITS:
        verb.add_argument(
            limit,
            type=value,
            metavar=metavar,
            default=argparse.SUPPRESS,
            help=f"{what} ({note})",
        )
    for mode, of in _MODES:
        verb.add_argument(
            f"--{mode.replace('_', '-')}",
            choices=MODES[mode],
            default=argparse.SUPPRESS,
            help=f"{of} (default: hard)",
        )


def named_limits(arguments: argparse.Namespace) -> dict[str, Any]:
    """The parser leaves out what was not named: None is a word, "no limit"."""
    return {
        name: getattr(arguments, name) for name in (*QUOTAS, *MODES) if hasattr(arguments, name)
    }


def add_days(parser: argparse.ArgumentParser) -> None:
    day: dict[str, Any] = {"type": values.day, "metavar": "YYYY-MM-DD"}
    parser.add_argument("--since", **day, help="first day, UTC (default: 30 days)")
    parser.add_argument("--until", **day, help="last day, UTC (default: today)")
