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
from gateway.gwctl.redis_url import open_store
from gateway.gwctl.tables import Answer, as_json, as_table
from gateway.store.errors import StoreUnavailable

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"
HINT = "REDIS_URL says where it is; for that of `make run`: . .run/env"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Raises SystemExit for --help and wrong usage."""
    arguments = parser().parse_args(argv)
    try:
        answer = anyio.run(_run, arguments)
    except Complaint as complaint:
        print(f"gwctl: {complaint}", file=sys.stderr)
        return 1
    except StoreUnavailable as exc:
        reason = " ".join(str(exc).split()).rstrip(". ")
        print(f"gwctl: Redis is not available ({reason}). {HINT}", file=sys.stderr)
        return 1
    print(as_json(answer) if arguments.output == "json" else as_table(answer))
    return 1 if answer and arguments.rows_are_wrong else 0


async def _run(arguments: argparse.Namespace) -> Answer:
    try:
        store = open_store(os.environ.get("REDIS_URL", DEFAULT_REDIS_URL))
    except ValueError as exc:
        raise Complaint(f"REDIS_URL is wrong: {exc}.") from exc
    command: Command = arguments.command
    async with store:
        return await command(arguments, store)


if __name__ == "__main__":
    sys.exit(main())
