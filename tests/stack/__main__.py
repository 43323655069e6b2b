"""The whole product on this machine: `make run` starts it, `make stop` ends it.

Redis, Triton with the simulator engine, and the gateway, on the loopback
interface only; a demo project and a key; everything under `.run/`.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from pathlib import Path

from tests.stack.interruption import INTERRUPTION, Interrupted
from tests.stack.leftovers import stop_leftovers
from tests.stack.ports import add_ports
from tests.stack.process import StartError

RUN = Path(".run")


def main() -> int:
    arguments = _parse()
    # Shown at once, in a file or a pipe too.
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(line_buffering=True)
    if arguments.command == "stop":
        return stop_leftovers(RUN)
    try:
        INTERRUPTION.listen()
        # Imports httpx, which takes long enough for a Ctrl-C: only now is it one line.
        from tests.stack.run import run

        run(vars(arguments), RUN)
    except Interrupted:
        print("\nStopped.")
        return 0
    except StartError as exc:
        print(f"\n{exc}", file=sys.stderr)
        return 1
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.stack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    add_ports(commands.add_parser("run", help="start everything, and stay until Ctrl-C"))
    commands.add_parser("stop", help="end what a run has left behind")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        code = main()
    except BrokenPipeError:
        # Whoever read us has gone (`make run | head`, or Ctrl-C took `tee`); all has been stopped.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)
