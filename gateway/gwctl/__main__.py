"""Run one command of gwctl: `gwctl`, or `python -m gateway.gwctl`.

What an operator can do nothing about but read -- no such project, Redis is away --
is one sentence on stderr and exit code 1; wrong usage is argparse's, code 2.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import cast

import anyio

from gateway.gwctl.admin_client import open_admin_client
from gateway.gwctl.arguments import parser
from gateway.gwctl.complaint import Complaint
from gateway.gwctl.environment import Environment
from gateway.gwctl.parsing import Command
from gateway.gwctl.tables import Answer, Rows, as_csv, as_json, as_table

PRINTERS: dict[str, Callable[[Rows], str]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Raises SystemExit for --help and wrong usage."""
    arguments = parser().parse_args(argv)
    try:
        if arguments.needs_api:
            answer = anyio.run(_run, arguments)
        else:
            answer = arguments.command(arguments)
    except Complaint as complaint:
        print(f"gwctl: {complaint}", file=sys.stderr)
        return 1
    print(answer if isinstance(answer, str) else PRINTERS[arguments.output](answer))
    return 1 if answer and arguments.rows_are_wrong else 0


async def _run(arguments: argparse.Namespace) -> Answer:
    command = cast("Command", arguments.command)
    async with open_admin_client(
        Environment(os.environ),
        organisation_id=arguments.organization,
        needs_peppers=arguments.needs_peppers,
    ) as api:
        return await command(arguments, api)


if __name__ == "__main__":
    sys.exit(main())
