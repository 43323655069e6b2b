"""The gateway's settings: environment variables, each with its unit and default.

`python -m gateway --print-config` shows them; `docs/configuration.md` lists them.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlsplit

import yaml
from pydantic import Field, FilePath, HttpUrl, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gateway.iam.address import read_address
from gateway.iam.providers import read_providers
from gateway.iam.secret_hash import Peppers
from gateway.quota.prices import Prices, read_prices
from gateway.responses.dialect import ObjectName
from gateway.store.address import is_one_server
from gateway.store.address import read_address as read_store_address
from gateway.store.server_check import VersionCheck
from gateway.telemetry.log_level import LEVELS
from gateway.upstream.credentials import WorkerTls
from gateway.upstream.endpoints import DNS_PREFIX

# Eleven days: more is a slip, and far more is no point in time that there is.
MAX_SECONDS = 1e6
Seconds = Annotated[float, Field(gt=0, le=MAX_SECONDS, allow_inf_nan=False)]
SecondsOr0 = Annotated[float, Field(ge=0, le=MAX_SECONDS, allow_inf_nan=False)]
MIN_ADMIN_KEY_LENGTH = 32

# A part of a host's name. Underscores are no host's, but resolvers know names with them.
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")

Port = Annotated[int, Field(ge=1, le=65535)]


class Settings(BaseSettings):
    """Read from the environment, prefix GATEWAY_ (REDIS_URL has none)."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", extra="ignore", frozen=True)

    # Where it listens. The operators' port serves probes and metrics; tenants
    # must not reach it.
    host: str = "127.0.0.1"
    port: Port = 8080
    ops_host: str = "127.0.0.1"
    ops_port: Port = 9100
    tls_certificate_file: FilePath | None = None
    tls_key_file: FilePath | None = None

    # Its neighbours.
    redis_url: SecretStr = Field(
        default=SecretStr("redis://127.0.0.1:6379/0"), validation_alias="REDIS_URL"
    )
    # PEM: whom to trust with rediss://, instead of this machine's authorities.
    redis_ca_file: FilePath | None = None
    # Of a Redis on another machine: whoever reaches it could write himself keys.
    redis_without_password: Literal["refuse", "allow"] = "refuse"
    # What a version with known holes means.
    redis_version_check: VersionCheck = "warn"
    # Which must have a change of the admin API before it counts as made.
    redis_replicas: Annotated[int, Field(ge=0, le=10)] = 0
    # `host:port`, or `dns:host:port` for all the addresses of a name.
    workers: Annotated[tuple[str, ...], NoDecode] = ("127.0.0.1:8001",)
    # PEM: whom to trust among workers. With it they are spoken to in TLS only.
    worker_tls_ca_file: FilePath | None = None
    # PEM: what to show them.
    worker_tls_certificate_file: FilePath | None = None
    worker_tls_key_file: FilePath | None = None
    # What their certificates are issued for, when they are reached by address.
    worker_tls_server_name: str | None = None
    # `1:<hex>,2:<hex>`: what API keys are hashed with, 32 random bytes or more each.
    key_peppers: SecretStr
    # How many proxies of ours a request passes: so far from the right of X-Forwarded-For
    # stands the client's address. 0: whoever connects is the client.
    trusted_proxy_hops: Annotated[int, Field(ge=0, le=10)] = 0
    # JSON: identity providers whose tokens are taken instead of keys (iam/providers.py).
    oidc: str | None = None
    # The admin API and the console; off unless there is a port. HTTPS, or nobody else's reach.
    admin_host: str = "127.0.0.1"
    admin_port: Port | None = None
    admin_tls_certificate_file: FilePath | None = None
    admin_tls_key_file: FilePath | None = None
    # A token for it that may do everything, to begin with.
    admin_key: SecretStr | None = None
    # What tokens cost, for reports: quota/prices.py.
    prices_file: FilePath | None = None
    # How long what was known of a key lets it in while Redis does not answer.
    stale_grants_s: SecondsOr0 = 3600.0

    # Without Redis requests are admitted by what a gateway knows, for so long; 0: not at all.
    degraded_max_s: SecondsOr0 = 900.0
    # Of its part of the rates, what a gateway admits then.
    degraded_rate_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    # Of hard budgets: an allowance, or nothing.
    degraded_hard_budgets: Literal["allowance", "closed"] = "allowance"
    # Keys, principals and projects that are refused whatever Redis says: an id a line.
    denylist_file: FilePath | None = None

    # The model.
    model: str = "gpt-oss-120b"
    model_aliases: Annotated[tuple[str, ...], NoDecode] = ("openai/gpt-oss-120b",)
    context_tokens: Annotated[int, Field(ge=1024)] = 131_072
    max_output_tokens: Annotated[int, Field(ge=1)] = 131_072
    default_max_output_tokens: Annotated[int, Field(ge=1)] = 32_768
    # What the response object is called: the spec's word, or OpenAI's.
    api_object: ObjectName = "chat.completion"
    # Tools that are no functions: refuse the request, or serve it without them.
    unsupported_tools: Literal["reject", "drop"] = "reject"
    # YYYY-MM-DD that the model is told; today (UTC) when it is not set.
    current_date: date | None = None

    # Limits of one request.
    max_body_bytes: Annotated[int, Field(ge=1024)] = 16 * 1024 * 1024
    body_timeout_s: Seconds = 30.0
    header_timeout_s: Seconds = 30.0
    # Of all bodies that are arriving; a project has a quarter of it.
    max_buffered_bytes: Annotated[int, Field(ge=1024)] = 256 * 1024 * 1024
    # When the workers are busy: how many requests of a project wait in each service tier, and
    # how long one does (of priority a third of it, of flex eight times as long).
    queue_per_project: Annotated[int, Field(ge=1)] = 64
    queue_timeout_s: SecondsOr0 = 15.0
    first_token_timeout_s: Seconds = 60.0
    # A worker sends a heartbeat every 5 s; longer silence means it is dead.
    idle_timeout_s: Seconds = 15.0
    max_duration_s: Seconds = 1800.0
    # A comment is sent to a client after so long without an event.
    keep_alive_s: Seconds = 15.0

    # Billing. A lease is a request's place in its quotas: renewed as long as its gateway
    # lives, and settled by another one when it has ended.
    lease_s: Seconds = 30.0
    renew_interval_s: Seconds = 5.0
    reap_interval_s: Seconds = 10.0
    # How long a settlement that Redis has acknowledged may still get lost there.
    settlement_keep_s: Seconds = 10.0
    # Where settlements outlive this process while Redis does not take them.
    spool_dir: Path | None = None
    spool_max_bytes: Annotated[int, Field(ge=65536)] = 64 * 1024 * 1024

    # How it stops: not ready at once, accepting for drain_delay_s, then at most
    # drain_timeout_s for the streams that are open.
    drain_delay_s: SecondsOr0 = 5.0
    drain_timeout_s: Seconds = 600.0
    # Seconds that /metrics may take to be fetched once more, when it has to tell of cut streams.
    drain_scrape_s: SecondsOr0 = 0.0

    log_level: str = "INFO"

    # Traces. Where an OpenTelemetry collector takes OTLP over HTTP; without it none are made.
    traces_url: HttpUrl | None = None
    # Of the requests; each costs about a millisecond.
    traces_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    # Clients' traceparent: a link only, or the trace to go on with, sampled as they say.
    traces_of_clients: Literal["link", "trust"] = "link"
    # Whether workers hear of the trace, and add their spans.
    traces_of_workers: bool = True

    @field_validator("workers", "model_aliases", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("workers")
    @classmethod
    def _workers_have_ports(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for worker in value:
            host, _, port = worker.removeprefix(DNS_PREFIX).rpartition(":")
            if not _is_host(host) or not _is_port(port):
                raise ValueError(f"{worker!r} is neither host:port nor dns:host:port")
        if not value:
            raise ValueError("at least one host:port is needed")
        return value

    @field_validator("key_peppers")
    @classmethod
    def _peppers_parse(cls, value: SecretStr) -> SecretStr:
        Peppers.parse(value.get_secret_value())
        return value

    @field_validator("oidc")
    @classmethod
    def _providers_parse(cls, value: str | None) -> str | None:
        if value is not None:
            read_providers(value)
        return value

    @field_validator("admin_key")
    @classmethod
    def _admin_key_is_long(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < MIN_ADMIN_KEY_LENGTH:
            raise ValueError(f"at least {MIN_ADMIN_KEY_LENGTH} random characters are needed")
        return value

    @field_validator("prices_file")
    @classmethod
    def _prices_parse(cls, value: Path | None) -> Path | None:
        if value is not None:
            load_prices(value)
        return value

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.upper() not in LEVELS:
            raise ValueError(f"use one of {', '.join(LEVELS)}")
        return value.upper()

    @field_validator("redis_url")
    @classmethod
    def _redis_url_is_one(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if not is_one_server(url):
            read_store_address(url)
        return value

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Settings:
        _both_or_neither("GATEWAY_TLS", self.tls_certificate_file, self.tls_key_file)
        return self

    @model_validator(mode="after")
    def _worker_tls_is_whole(self) -> Settings:
        _both_or_neither(
            "GATEWAY_WORKER_TLS", self.worker_tls_certificate_file, self.worker_tls_key_file
        )
        if self.worker_tls_ca_file is None and (
            self.worker_tls_certificate_file or self.worker_tls_server_name
        ):
            raise ValueError(
                "GATEWAY_WORKER_TLS_CA_FILE is needed: without it workers are spoken to in clear"
            )
        return self

    @property
    def worker_tls(self) -> WorkerTls | None:
        """How workers are spoken to; None = in clear."""
        if self.worker_tls_ca_file is None:
            return None
        return WorkerTls(
            self.worker_tls_ca_file,
            self.worker_tls_certificate_file,
            self.worker_tls_key_file,
            self.worker_tls_server_name,
        )

    @model_validator(mode="after")
    def _redis_is_private(self) -> Settings:
        if self.redis_without_password == "refuse" and not has_password_or_is_here(
            self.redis_url.get_secret_value()
        ):
            raise ValueError(
                "REDIS_URL names another machine and no password: whoever reaches that Redis could"
                " write himself keys. Give it one (docs/redis.md), or say"
                " GATEWAY_REDIS_WITHOUT_PASSWORD=allow"
            )
        return self

    @model_validator(mode="after")
    def _admin_is_private(self) -> Settings:
        _both_or_neither(
            "GATEWAY_ADMIN_TLS", self.admin_tls_certificate_file, self.admin_tls_key_file
        )
        if (
            self.admin_port is not None
            and self.admin_tls_key_file is None
            and not is_loopback(self.admin_host)
        ):
            raise ValueError(
                f"GATEWAY_ADMIN_HOST {self.admin_host} can be reached from other machines, and keys"
                " would pass in clear: set GATEWAY_ADMIN_TLS_CERTIFICATE_FILE and"
                " GATEWAY_ADMIN_TLS_KEY_FILE, or listen on 127.0.0.1"
            )
        return self

    @model_validator(mode="after")
    def _leases_outlive_lost_renewals(self) -> Settings:
        if self.lease_s < 3 * self.renew_interval_s:
            raise ValueError(
                "GATEWAY_LEASE_S must be three times GATEWAY_RENEW_INTERVAL_S or more:"
                " one slow renewal must not end it"
            )
        return self

    @model_validator(mode="after")
    def _a_body_fits(self) -> Settings:
        if self.max_buffered_bytes < 4 * self.max_body_bytes:
            raise ValueError(
                "GATEWAY_MAX_BUFFERED_BYTES must be four times GATEWAY_MAX_BODY_BYTES or more:"
                " a project has a quarter of it"
            )
        return self

    @model_validator(mode="after")
    def _output_fits(self) -> Settings:
        if not self.default_max_output_tokens <= self.max_output_tokens <= self.context_tokens:
            raise ValueError(
                "GATEWAY_DEFAULT_MAX_OUTPUT_TOKENS must not exceed GATEWAY_MAX_OUTPUT_TOKENS,"
                " nor that GATEWAY_CONTEXT_TOKENS"
            )
        return self


def _is_host(host: str) -> bool:
    """Whether a resolver may be asked for it: a name, or an address, IPv6 in brackets."""
    if host.startswith("[") and host.endswith("]"):
        return read_address(host[1:-1]) is not None
    labels = host.removesuffix(".").split(".")
    return all(_LABEL.fullmatch(label) for label in labels)


def _is_port(port: str) -> bool:
    return port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535


def _both_or_neither(prefix: str, certificate: Path | None, key: Path | None) -> None:
    if (certificate is None) != (key is None):
        raise ValueError(f"{prefix}_CERTIFICATE_FILE and {prefix}_KEY_FILE: set both or neither")


def load_prices(path: Path) -> Prices:
    """Raises ValueError, naming what is wrong in the file."""
    try:
        return read_prices(yaml.safe_load(path.read_text()))
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise ValueError(f"{path} is no YAML: {exc}") from exc


def has_password_or_is_here(redis_url: str) -> bool:
    if redis_url.startswith("unix:"):
        return True
    if is_one_server(redis_url):
        parts = urlsplit(redis_url)
        options = dict(parse_qsl(parts.query))
        return bool(parts.password or options.get("password")) or is_loopback(
            parts.hostname or "localhost"
        )
    address = read_store_address(redis_url)
    return bool(address.password) or all(is_loopback(host) for host, _ in address.hosts)


def is_loopback(host: str) -> bool:
    address = read_address(host)
    return host == "localhost" if address is None else address.is_loopback
