"""The ports of `make run`: as asked for, else any that is free.

Also a command, with the arguments of `run`, so that `make` can refuse nonsense
before it installs anything; it needs the standard library only. Whether a port
is taken is asked when the run starts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping

from tests.stack.process import StartError, accepts_connections, free_port

VARIABLES = {
    "gateway": "PORT",
    "ops": "OPS_PORT",
    "admin": "ADMIN_PORT",
    "redis": "REDIS_PORT",
    "grpc": "TRITON_PORT",
}
DEFAULTS = {"gateway": "8080", "ops": "9100", "admin": "9443", "redis": "0", "grpc": "0"}
MAX_PORT = 65_535


def add_ports(parser: argparse.ArgumentParser) -> None:
    """Options for the ports; as text, for `choose_ports` to judge."""
    for name, default in DEFAULTS.items():
        parser.add_argument(
            f"--{name}", default=default, metavar="PORT", help=f"default {default}; 0: any"
        )


def read_ports(asked: Mapping[str, str]) -> dict[str, int]:
    """The ports of `VARIABLES`; 0 for any. Raises StartError for no port, or one asked for twice."""
    ports: dict[str, int] = {}
    for name, variable in VARIABLES.items():
        port = _parse(variable, asked[name])
        for other, value in ports.items():
            if port and port == value:
                raise StartError(
                    f"{VARIABLES[other]} and {variable} are both {port}; they have to differ."
                )
        ports[name] = port
    return ports


def choose_ports(asked: Mapping[str, str]) -> dict[str, int]:
    """A port for each server, those of `VARIABLES` and Triton's `http` and `metrics`.

    Raises StartError, naming the make variable, for what is no port, is taken, or asked for twice.
    """
    chosen = {name: port for name, port in read_ports(asked).items() if port}
    for name, port in chosen.items():
        if accepts_connections(port):
            raise StartError(
                f"Port {port} is taken. Choose another one, for example:"
                f" make run {VARIABLES[name]}={free_port()}"
            )
    for name in (*VARIABLES, "http", "metrics"):
        while name not in chosen:
            port = free_port()
            if port not in chosen.values():
                chosen[name] = port
    return chosen


def _parse(variable: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= MAX_PORT):
        raise StartError(
            f"{variable} has to be a port from 1 to {MAX_PORT}, or 0 for any that is free."
        )
    return int(text)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.stack.ports", description=__doc__)
    add_ports(parser)
    try:
        read_ports(vars(parser.parse_args()))
    except StartError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
