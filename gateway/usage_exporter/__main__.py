"""Run the usage exporter: `python -m gateway.usage_exporter`. Settings: docs/configuration.md."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial

import prometheus_client
from prometheus_client import CollectorRegistry, Gauge, start_http_server
from prometheus_client.process_collector import ProcessCollector
from pydantic import ValidationError

from gateway.store.connection import connect
from gateway.store.errors import StoreUnavailable
from gateway.store.project_activity import ProjectActivity, totals
from gateway.store.server_facts import ServerFacts, server_facts
from gateway.telemetry.logs import configure_logs
from gateway.usage_exporter.exposition import ProjectCollector, Snapshot
from gateway.usage_exporter.settings import ExporterSettings
from gateway.usage_exporter.tally import Tally, Used

_log = logging.getLogger("gateway.usage_exporter")

# As the gateway's: when a counter was made, nobody asks.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

# Nobody waits for it, and a look at ten thousand projects takes a while.
REDIS_TIMEOUT_S = 5.0


class Exporter:
    """Looks again and again, and has /metrics tell what it has seen."""

    def __init__(
        self,
        activity: ProjectActivity,
        facts: Callable[[], Awaitable[ServerFacts]],
        registry: CollectorRegistry,
        *,
        projects: int,
        held_s: float,
    ) -> None:
        """*activity* and *facts* are what is asked of Redis; *projects*: how many have series;
        *held_s*: how long a new one is told as 0."""
        self._activity = activity
        self._facts = facts
        self._tally = Tally(named=projects, held_s=held_s)
        self._looked_at = time.monotonic()
        self._told_at = 0.0
        self._begun = False
        self._projects = ProjectCollector()
        registry.register(self._projects)
        self._looks = prometheus_client.Counter(
            "gw_usage_exporter_looks", "Looks at Redis", ("result",), registry=registry
        )
        self._last = Gauge(
            "gw_usage_exporter_last_look_timestamp_seconds",
            "When Redis last answered a look; what is told is as old as that",
            registry=registry,
        )
        self._took = Gauge(
            "gw_usage_exporter_look_seconds", "How long the last look took", registry=registry
        )
        for result in ("done", "failed"):
            self._looks.labels(result)

    async def look(self) -> None:
        """Raises nothing: what was seen last is told until Redis answers again."""
        began = time.monotonic()
        try:
            if not self._begun:
                self._tally.begin(await self._activity.begin())
                self._begun = True
            activity = await self._activity.look()
            self._tally.round(
                {
                    project_id: Used(*totals(each.entries), limited=Counter(each.refusals))
                    for project_id, each in activity.items()
                },
                seconds=began - self._looked_at,
            )
            self._looked_at = began
            fullness = await self._activity.fullness(sorted(self._tally.names))
            facts = await self._facts()
        except StoreUnavailable as exc:
            self._looks.labels("failed").inc()
            _log.warning("Redis is not available: %s", exc)
            return
        now = time.monotonic()
        self._tally.release(self._projects.snapshot.used, seconds=now - self._told_at)
        self._told_at = now
        self._projects.snapshot = Snapshot(
            {project_id: used.copy() for project_id, used in self._tally.used.items()},
            fullness,
            self._tally.folded,
            facts,
        )
        self._looks.labels("done").inc()
        self._last.set(time.time())
        self._took.set(now - began)


async def export(settings: ExporterSettings) -> None:
    """Until SIGTERM or SIGINT. Raises OSError if the port cannot be had."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with connect(
        settings.redis_url.get_secret_value(),
        timeout_s=REDIS_TIMEOUT_S,
        max_connections=4,
        ca_file=settings.redis_ca_file,
    ) as redis:
        exporter = Exporter(
            ProjectActivity(redis),
            partial(server_facts, redis),
            registry,
            projects=settings.projects,
            held_s=settings.held_s,
        )
        server, thread = start_http_server(settings.port, settings.host, registry)
        _log.info("telling of projects on %s:%d", settings.host, settings.port)
        try:
            while not stop.is_set():
                await exporter.look()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), settings.interval_s)
        finally:
            server.shutdown()
            thread.join()


def main() -> int:
    argparse.ArgumentParser(
        prog="python -m gateway.usage_exporter",
        description="Tell Prometheus what projects use and how their quotas stand: one process for"
        " all gateways. It reads Redis and writes nothing.",
        epilog="Settings are environment variables, REDIS_URL and USAGE_EXPORTER_*;"
        " docs/configuration.md lists them.",
    ).parse_args()
    try:
        settings = ExporterSettings()
    except ValidationError as exc:
        for detail in exc.errors(include_input=False, include_context=False, include_url=False):
            name = "_".join(map(str, detail["loc"])).upper()
            variable = name if name.endswith(("REDIS_URL", "CA_FILE")) else f"USAGE_EXPORTER_{name}"
            print(f"usage exporter: {variable}: {detail['msg']}", file=sys.stderr)
        return 2
    configure_logs(settings.log_level, sys.stdout)
    try:
        asyncio.run(export(settings))
    except (OSError, ValueError) as exc:
        print(f"usage exporter: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
