"""Composition root: the only file that builds the parts and puts them together.

async with running_gateway(settings) as gateway:
    gateway.tenant_api, gateway.ops_api, gateway.admin_api     ASGI applications
"""

from __future__ import annotations

import importlib.metadata
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from gateway.asgi.account_endpoint import AccountEndpoint
from gateway.asgi.admin.build import build_admin_api
from gateway.asgi.authentication import Authenticator, Credentials
from gateway.asgi.body import Bodies, BodyBudget, BodyLimits
from gateway.asgi.chat_api import ChatApi
from gateway.asgi.generation_endpoint import Api, GenerationEndpoint
from gateway.asgi.in_flight import RequestsInFlight
from gateway.asgi.input_tokens_endpoint import InputTokensEndpoint
from gateway.asgi.models_endpoint import ModelsEndpoint
from gateway.asgi.ops_api import Scrapes, ops_api
from gateway.asgi.rate_limits import RateLimitHeaders
from gateway.asgi.readiness import Readiness
from gateway.asgi.responses_api import ResponsesApi
from gateway.asgi.served_model import ServedModel
from gateway.asgi.tenant_api import tenant_api
from gateway.beside_the_loop import BesideTheLoop
from gateway.config import Settings, load_prices
from gateway.create_response import SETTLE_DEADLINE_S
from gateway.denylist import Denylist
from gateway.harmony.encoding import Encoding
from gateway.iam.providers import read_providers
from gateway.iam.secret_hash import Peppers
from gateway.oidc import TokenVerifier
from gateway.quota.estimate import UsualOutput
from gateway.quota.local_quotas import LocalQuotas
from gateway.responses.dialect import Dialect
from gateway.responses.sealing import Seal
from gateway.scheduler import QueueLimits, Scheduler
from gateway.schema_compiler import SchemaCompiler
from gateway.stations import ModelSettings, Stations
from gateway.store.administration import Administration
from gateway.store.connection import connect, connect_for_scripts
from gateway.store.directory import Directory
from gateway.store.guard import StoreGuard
from gateway.store.identity import StoreIdentity
from gateway.store.last_standing import LastStanding
from gateway.store.last_used import LastUsed
from gateway.store.leased_projects import QUIET_AFTER_S, LeasedProjects
from gateway.store.ledger import RedisLedger
from gateway.store.local_mode import LocalMode
from gateway.store.open_leases import OpenLeases
from gateway.store.ping import RedisPing
from gateway.store.reaper import Reaper
from gateway.store.refusals import RefusalCounts
from gateway.store.replicas import Replicas
from gateway.store.reserver import Reserver
from gateway.store.server_check import StoreCheck
from gateway.store.settlements import Settler
from gateway.store.spool import Spool
from gateway.store.standing import Standings
from gateway.store.usage import UsageReader
from gateway.store.usage_buckets import UsageBuckets
from gateway.telemetry.collectors import (
    LoopCollector,
    SchedulerCollector,
    SettlementCollector,
    WorkerCollector,
)
from gateway.telemetry.log_level import LogLevel
from gateway.telemetry.loop_lag import measure_loop_lag
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.scheduler import SchedulerTelemetry
from gateway.telemetry.settlements import SettlementTelemetry
from gateway.telemetry.traces import UNTRACED, CountingExporter, Traced, Tracing, otlp_exporter
from gateway.telemetry.upstream import UpstreamTelemetry
from gateway.tokenizing import PromptTokenizer
from gateway.upstream.attempt import UpstreamTimeouts
from gateway.upstream.endpoints import Endpoints
from gateway.upstream.engine import TritonEngine
from gateway.upstream.workers import WorkerPool
from wire.vocabulary import load_ranks

_log = logging.getLogger(__name__)

FLUSH_DEADLINE_S = 10
ADMIN_TIMEOUT_S = 2.0
ADMIN_MAX_CONNECTIONS = 8


class Gateway:
    """The gateway, running."""

    def __init__(
        self,
        tenant: ASGIApp,
        ops: ASGIApp,
        admin: ASGIApp,
        metrics: Metrics,
        readiness: Readiness,
        in_flight: RequestsInFlight,
        scrapes: Scrapes,
    ) -> None:
        self.tenant_api = tenant
        self.ops_api = ops
        self.admin_api = admin
        self._metrics = metrics
        self._readiness = readiness
        self._in_flight = in_flight
        self._scrapes = scrapes

    def drain(self) -> None:
        """Not ready from now on, so that nobody sends new requests; those that come are served."""
        self._readiness.draining = True
        self._metrics.draining.set(1)

    def count_no_request(self, status: int, code: str) -> None:
        """Something has come on the tenants' port that is no request, and was refused."""
        self._metrics.http_requests["other", str(status), "false"].inc()
        self._metrics.rejections.labels(code).inc()

    async def end_requests(self) -> None:
        """Cut what is still being served, and wait until it is settled or put off."""
        await self._in_flight.end_all(SETTLE_DEADLINE_S + 1)

    async def tell_what_was_cut(self, deadline_s: float) -> None:
        """Return when the metrics were fetched once more, or at once if nothing was cut."""
        if self._in_flight.any_was_cut:
            with anyio.move_on_after(deadline_s):
                await self._scrapes.one_of_now()


@asynccontextmanager
async def running_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """Build the gateway from *settings*, run what runs beside requests, and clean up.

    Neither Redis nor a worker need be there yet; `/readyz` says when they are.
    Raises VocabularyError if the vocabulary is not the one we speak.
    """
    registry = CollectorRegistry()
    metrics = Metrics(registry, model=settings.model)
    version = importlib.metadata.version("llm-gateway")
    metrics.set_version(version)

    redis_url = settings.redis_url.get_secret_value()
    ca_file = settings.redis_ca_file
    redis = connect(redis_url, ca_file=ca_file)
    ping = RedisPing(redis_url, ca_file=ca_file)
    store_check = StoreCheck(redis, settings.redis_version_check)

    def on_store_mode(mode: int) -> None:
        metrics.store_mode.set(mode)
        if mode == 0:
            local.redis_is_back()

    probe = RedisPing(redis_url, ca_file=ca_file)
    guard = StoreGuard(probe, on_mode=on_store_mode)
    scripts = connect_for_scripts(redis_url, ca_file=ca_file)
    ledger = RedisLedger(
        scripts,
        lease_ms=int(settings.lease_s * 1000),
        guard=guard,
        observe=metrics.store_operation,
    )
    spool = (
        None
        if settings.spool_dir is None
        else Spool(settings.spool_dir, max_bytes=settings.spool_max_bytes)
    )
    settler = Settler(
        ledger,
        observer=SettlementTelemetry(metrics),
        identity=StoreIdentity(redis).ask,
        spool=spool,
        keep_s=settings.settlement_keep_s,
        may_ask=lambda reservation: not local.has_admitted(reservation),
        on_settle=lambda reservation, usage: local.settled(reservation, usage),
    )
    peppers = Peppers.parse(settings.key_peppers.get_secret_value())
    last_used = LastUsed(redis)
    directory = Directory(
        redis, peppers, stale_s=settings.stale_grants_s, guard=guard, on_used=last_used.note
    )
    standings = Standings(redis)

    def on_budgets_read(project_id: str, kid: str | None) -> None:
        if not settler.pending:
            local.redis_has_counted(project_id, kid)

    last_standing = LastStanding(standings, on_read=on_budgets_read)
    replicas = Replicas(redis, on_counted=metrics.replicas.set)
    local = LocalMode(
        LocalQuotas(
            share=settings.degraded_rate_share,
            hard_budgets_allowed=settings.degraded_hard_budgets == "allowance",
        ),
        max_s=settings.degraded_max_s,
        away_for_s=lambda: guard.open_for_s,
        limits_of=directory.limits_of,
        remaining=last_standing.remaining,
        gateways=lambda: replicas.count,
        on_admitted=lambda concern: metrics.degraded_admits.labels(concern).inc(),
    )

    def on_reserved(project_id: str, kid: str) -> None:
        known = directory.limits_of(project_id, kid)
        if known is not None:
            last_standing.note(project_id, None, known.project)
            last_standing.note(project_id, kid, known.key)

    refusals = RefusalCounts(redis)
    leased_projects = LeasedProjects(
        redis, quiet_after_s=max(QUIET_AFTER_S, 2 * settings.max_duration_s)
    )
    reserver = Reserver(
        ledger,
        leased_projects,
        guard=guard,
        local=local,
        may_admit=lambda: not settler.full,
        on_reserved=on_reserved,
        on_refused=refusals.note,
    )
    leases = OpenLeases(
        ledger,
        interval_s=settings.renew_interval_s,
        on_renewed=lambda result, count: metrics.leases_renewed.labels(result).inc(count),
    )
    reaper = Reaper(
        ledger,
        leased_projects,
        interval_s=settings.reap_interval_s,
        on_reaped=metrics.leases_reaped.inc,
    )
    tokens = TokenVerifier(read_providers(settings.oidc or "[]"))
    denylist = Denylist(settings.denylist_file, on_read=metrics.denylisted.set)
    credentials = Credentials(
        directory,
        "tenant",
        tokens=tokens,
        trusted_proxy_hops=settings.trusted_proxy_hops,
        denylist=denylist,
        observe=lambda result: metrics.authentications[result].inc(),
    )
    authenticator = Authenticator(directory, credentials)

    upstream_telemetry = UpstreamTelemetry(metrics)
    pool = WorkerPool(
        Endpoints(settings.workers),
        tls=settings.worker_tls,
        model_name=settings.model,
        gateways=lambda: replicas.count or 1,
        on_forgotten=upstream_telemetry.worker_forgotten,
    )
    registry.register(WorkerCollector(pool))
    scheduler = Scheduler(
        pool,
        QueueLimits(per_project=settings.queue_per_project, patience_s=settings.queue_timeout_s),
        observer=SchedulerTelemetry(metrics),
    )
    pool.on_news = scheduler.fill
    registry.register(SchedulerCollector(scheduler, pool))
    registry.register(SettlementCollector(settler))
    registry.register(LoopCollector())
    timeouts = UpstreamTimeouts(
        first_token_s=settings.first_token_timeout_s, idle_s=settings.idle_timeout_s
    )
    engine = TritonEngine(pool, timeouts, model_name=settings.model, observer=upstream_telemetry)
    schemas = SchemaCompiler(observe=metrics.schema_checked)
    beside_the_loop = BesideTheLoop()
    in_flight = RequestsInFlight()
    stations = Stations(
        in_flight=in_flight,
        model=ModelSettings(
            name=settings.model,
            context_tokens=settings.context_tokens,
            default_max_output_tokens=settings.default_max_output_tokens,
            max_duration_s=settings.max_duration_s,
            current_date=settings.current_date.isoformat() if settings.current_date else None,
        ),
        schemas=schemas,
        tokenizer=PromptTokenizer(Encoding(load_ranks()), beside_the_loop),
        ledger=reserver,
        usual_output=UsualOutput(),
        leases=leases,
        settler=settler,
        scheduler=scheduler,
        engine=engine,
        seal=Seal(peppers.by_version),
    )
    served = ServedModel(settings.model, settings.model_aliases, settings.max_output_tokens)
    rate_limits = RateLimitHeaders(ledger)
    body_limits = BodyLimits(
        settings.max_body_bytes,
        settings.body_timeout_s,
        BodyBudget(settings.max_buffered_bytes),
    )
    bodies = Bodies(body_limits, beside_the_loop)

    def endpoint(api: Api) -> GenerationEndpoint:
        return GenerationEndpoint(
            api,
            authenticator,
            stations,
            served,
            bodies,
            keep_alive_s=settings.keep_alive_s,
        )

    tracing = _tracing(settings, metrics, version)
    drop_unsupported_tools = settings.unsupported_tools == "drop"
    tenant = tenant_api(
        endpoint(
            ResponsesApi(
                Dialect(object_name=settings.api_object),
                model=settings.model,
                drop_unsupported_tools=drop_unsupported_tools,
            )
        ),
        endpoint(ChatApi(drop_unsupported_tools=drop_unsupported_tools)),
        InputTokensEndpoint(authenticator, stations, served, bodies, rate_limits),
        ModelsEndpoint(authenticator, served, rate_limits, created=int(time.time())),
        AccountEndpoint(
            authenticator,
            rate_limits,
            Administration(redis),
            standings,
            UsageBuckets(UsageReader(redis)),
        ),
        rate_limits,
        in_flight,
        metrics,
        tracing,
        version=version,
    )
    # Nobody's request waits for it: with more patience, and connections of its own.
    admin_redis = connect(
        redis_url,
        timeout_s=ADMIN_TIMEOUT_S,
        max_connections=ADMIN_MAX_CONNECTIONS,
        ca_file=ca_file,
    )
    admin = build_admin_api(
        admin_redis,
        peppers,
        metrics,
        model=settings.model,
        bootstrap_key=None if settings.admin_key is None else settings.admin_key.get_secret_value(),
        replicas=settings.redis_replicas,
        prices=None if settings.prices_file is None else load_prices(settings.prices_file),
    )
    readiness = Readiness(
        ping,
        pool,
        settler,
        serves_without_redis=lambda: local.may_serve,
        unfit=lambda: store_check.why_unfit,
    )
    scrapes = Scrapes()
    ops = ops_api(registry, readiness.why_not, LogLevel(settings.log_level), scrapes)

    async with (
        redis,
        scripts,
        admin_redis,
        ping,
        probe,
        pool,
        schemas,
        anyio.create_task_group() as to_the_end,
        anyio.create_task_group() as tasks,
    ):
        # Also while the last settlements are said: they are not before Redis is known to be back.
        to_the_end.start_soon(guard.run)
        tasks.start_soon(pool.run)
        tasks.start_soon(settler.run)
        tasks.start_soon(settler.watch)
        if spool is not None:
            tasks.start_soon(settler.keep_spool)
        tasks.start_soon(leases.run)
        tasks.start_soon(store_check.run)
        tasks.start_soon(replicas.run)
        tasks.start_soon(last_standing.run)
        tasks.start_soon(denylist.run)
        tasks.start_soon(last_used.run)
        tasks.start_soon(refusals.run)
        tasks.start_soon(tokens.run)
        tasks.start_soon(reaper.run)
        tasks.start_soon(reserver.run)
        tasks.start_soon(readiness.watch)
        tasks.start_soon(measure_loop_lag, metrics.loop_lag_s.observe)
        gateway = Gateway(tenant, ops, admin, metrics, readiness, in_flight, scrapes)
        try:
            yield gateway
        finally:
            await gateway.end_requests()
        tasks.cancel_scope.cancel()
        with anyio.move_on_after(ADMIN_TIMEOUT_S, shield=True):
            await replicas.leave()
        left = await settler.flush(FLUSH_DEADLINE_S)
        if left:
            _log.error("%d settlements could not be written to Redis", left)
        if spool is not None:
            spool.close()
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(tracing.close)
        to_the_end.cancel_scope.cancel()


def _tracing(settings: Settings, metrics: Metrics, version: str) -> Tracing:
    if settings.traces_url is None:
        return UNTRACED
    return Traced(
        CountingExporter(otlp_exporter(str(settings.traces_url)), metrics.spans_sent),
        model=settings.model,
        version=version,
        share=settings.traces_share,
        trust_clients=settings.traces_of_clients == "trust",
        headers_for_workers=settings.traces_of_workers,
    )
