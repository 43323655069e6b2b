"""Run the gateway: `python -m gateway`. Settings come from the environment (config.py).

SIGTERM drains: not ready at once, accepting for a while longer so that load
balancers notice, then no new connections, then the open streams to their end.
A second SIGTERM, or Ctrl-C twice, ends it at once.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import anyio
import uvicorn
import uvloop
from pydantic import ValidationError
from starlette.types import ASGIApp

from gateway.allocator import return_free_memory, return_large_blocks
from gateway.app import running_gateway
from gateway.asgi.http_protocol import http_protocol
from gateway.config import Settings
from gateway.telemetry.logs import configure_logs
from wire.vocabulary import VocabularyError

_log = logging.getLogger(__name__)

# Whenever the event loop has looked for news, it waits so long for the interpreter
# if a thread is at work beside it; the default of 5 ms is a quarter of the lag we allow.
SWITCH_INTERVAL_S = 0.0005

# Objects made and not freed, until the youngest are looked through for cycles; and how often
# older ones are. By default 700, 10, 10: 5 % of a request's CPU.
GC_THRESHOLDS = (10_000, 10, 10)


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to us: there are two of them in this process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m gateway",
        description="An OpenAI-compatible Responses API for gpt-oss-120b on Triton workers.",
        epilog="Settings are environment variables; docs/configuration.md lists them.",
    )
    parser.add_argument(
        "--print-config", action="store_true", help="print the settings in force, and end"
    )
    arguments = parser.parse_args()
    try:
        settings = Settings()
    except ValidationError as exc:
        print(_explained(exc), file=sys.stderr)
        return 2
    if arguments.print_config:
        print(settings.model_dump_json(indent=2))
        return 0
    configure_logs(settings.log_level, sys.stdout)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    return_large_blocks()
    try:
        with ExitStack() as sockets:
            tenant = sockets.enter_context(_listen(settings.host, settings.port, "GATEWAY_PORT"))
            ops = sockets.enter_context(
                _listen(settings.ops_host, settings.ops_port, "GATEWAY_OPS_PORT")
            )
            admin = None
            if settings.admin_port is not None:
                admin = sockets.enter_context(
                    _listen(settings.admin_host, settings.admin_port, "GATEWAY_ADMIN_PORT")
                )
            uvloop.run(_serve(settings, tenant, ops, admin))
    except (CannotListen, VocabularyError) as exc:
        print(f"gateway: {exc}", file=sys.stderr)
        return 1
    return 0


class CannotListen(Exception):
    """A port cannot be had; the text says which, and why."""


def _listen(host: str, port: int, variable: str) -> socket.socket:
    """A listening socket. Before anything else starts, so that a taken port is told at once."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as exc:
        reason = "is taken" if exc.errno == errno.EADDRINUSE else f"cannot be had ({exc.strerror})"
        raise CannotListen(
            f"port {port} of {host} {reason}; set {variable} to another one"
        ) from exc


async def _serve(
    settings: Settings,
    tenant_socket: socket.socket,
    ops_socket: socket.socket,
    admin_socket: socket.socket | None,
) -> None:
    async with running_gateway(settings) as gateway:
        # What lives as long as the process need not be looked through again and again.
        gc.collect()
        gc.freeze()
        # Requests leave hardly a cycle behind, and each makes thousands of objects.
        gc.set_threshold(*GC_THRESHOLDS)
        return_free_memory()
        tenant = _server(
            gateway.tenant_api,
            settings,
            on_refused=gateway.count_no_request,
            certificate=settings.tls_certificate_file,
            key=settings.tls_key_file,
        )
        ops = _server(gateway.ops_api, settings)
        admin = _server(
            gateway.admin_api,
            settings,
            certificate=settings.admin_tls_certificate_file,
            key=settings.admin_tls_key_file,
        )
        stop = _on_signals()
        for name, listening in (
            ("tenants", tenant_socket),
            ("probes and metrics", ops_socket),
            ("administrators", admin_socket),
        ):
            if listening is not None:
                _log.info("serving %s on %s:%d", name, *listening.getsockname()[:2])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ops.serve, [ops_socket])
            if admin_socket is not None:
                tasks.start_soon(admin.serve, [admin_socket])

            async def drain() -> None:
                await stop.wait()
                gateway.drain()
                _log.info("draining: accepting for %g s more", settings.drain_delay_s)
                stop.clear()
                with anyio.move_on_after(settings.drain_delay_s):
                    await stop.wait()
                tenant.should_exit = True
                with anyio.move_on_after(settings.drain_timeout_s):
                    await stop.wait()
                await gateway.end_requests()
                tenant.force_exit = True

            tasks.start_soon(drain)
            await tenant.serve([tenant_socket])
            _log.info("drained")
            await gateway.tell_what_was_cut(settings.drain_scrape_s)
            ops.should_exit = admin.should_exit = True
            tasks.cancel_scope.cancel()


def _server(
    app: ASGIApp,
    settings: Settings,
    *,
    certificate: Path | None = None,
    key: Path | None = None,
    on_refused: Callable[[int, str], None] = lambda status, code: None,
) -> Server:
    return Server(
        uvicorn.Config(
            app,
            http=http_protocol(header_timeout_s=settings.header_timeout_s, on_refused=on_refused),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            # It would believe X-Forwarded-For of whoever connects from this machine.
            proxy_headers=False,
            server_header=False,
            date_header=False,
            # Proxies keep connections for 60 s or so, and must not find them closed.
            timeout_keep_alive=75,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
    )


def _on_signals() -> asyncio.Event:
    """An event that is set by SIGTERM and SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _explained(error: ValidationError) -> str:
    """One line a wrong setting, naming its environment variable, never its value."""
    lines = ["gateway: these settings are missing or wrong (docs/configuration.md):"]
    for detail in error.errors(include_input=False, include_context=False, include_url=False):
        name = "_".join(str(part) for part in detail["loc"]).upper()
        variable = name if name in ("", "REDIS_URL") else f"GATEWAY_{name}"
        # What is wrong with several of them together names them itself.
        lines.append(f"  {variable}: {detail['msg']}" if variable else f"  {detail['msg']}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
