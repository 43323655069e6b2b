"""Run one command of gwctl: `gwctl`, or `python -m gateway.gwctl`.

What an operator can do nothing about but read -- no such project, Redis is away --
is one sentence on stderr and exit code 1; wrong usage is argparse's, code 2.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import anyio

from gateway.gwctl.arguments import parser
from gateway.gwctl.commands import Command, Complaint
from gateway.gwctl.tables import Answer, as_json, as_table
from gateway.store.connection import connect
from gateway.store.errors import StoreUnavailable

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"
TIMEOUT_S = 2.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Raises SystemExit for --help and wrong usage."""
    arguments = parser().parse_args(argv)
    try:
        answer = anyio.run(_run, arguments)
    except Complaint as complaint:
        print(f"gwctl: {complaint}", file=sys.stderr)
        return 1
    except StoreUnavailable as exc:
        print(f"gwctl: Redis is not available ({exc}).", file=sys.stderr)
        return 1
    print(as_json(answer) if arguments.output == "json" else as_table(answer))
    return 0


async def _run(arguments: argparse.Namespace) -> Answer:
    try:
        store = connect(os.environ.get("REDIS_URL", DEFAULT_REDIS_URL), timeout_s=TIMEOUT_S)
    except ValueError as exc:
        raise Complaint(f"REDIS_URL is wrong: {exc}") from exc
    command: Command = arguments.command
    async with store:
        return await command(arguments, store)


if __name__ == "__main__":
    sys.exit(main())
