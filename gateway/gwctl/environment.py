"""What gwctl takes from the environment. What is wrong is said without quoting secrets."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from gateway.gwctl.complaint import Complaint
from gateway.iam.secret_hash import MIN_PEPPER_BYTES, Peppers
from gateway.quota.prices import Prices
from gateway.store.address import is_one_server
from gateway.store.connection import Store, connect
from gateway.store.errors import StoreUnavailable, store_errors

TIMEOUT_S = 2.0
EXAMPLE = "redis://:<password>@127.0.0.1:6379/0"
DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"
DEFAULT_MODEL = "gpt-oss-120b"
HINT = (
    "REDIS_URL says where it is, or GATEWAY_ADMIN_URL where a gateway is;"
    " for those of `make run`: . .run/env"
)


class Environment:
    """Every method raises Complaint."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    @property
    def admin_url(self) -> str | None:
        """Of a gateway's admin API; None: there is none to ask."""
        url = self._variables.get("GATEWAY_ADMIN_URL")
        if not url:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise Complaint(
                "GATEWAY_ADMIN_URL is wrong: it should look like https://gateway.example:9443."
            )
        return url.rstrip("/")

    def required_admin_key(self) -> str:
        key = self._variables.get("GATEWAY_ADMIN_KEY", "").strip()
        if not key:
            raise Complaint(
                "GATEWAY_ADMIN_KEY is not set: an admin key (gwa_...), or the one that the gateway"
                " was installed with."
            )
        if not key.isascii():
            raise Complaint("GATEWAY_ADMIN_KEY is wrong: a key has no such characters.")
        return key

    def tls_context(self) -> ssl.SSLContext:
        """Trusts the authorities of GATEWAY_ADMIN_CA_FILE, or else those of this machine."""
        authorities = self._variables.get("GATEWAY_ADMIN_CA_FILE") or None
        try:
            return ssl.create_default_context(cafile=authorities)
        except OSError as exc:
            raise Complaint(f"GATEWAY_ADMIN_CA_FILE cannot be read: {exc.strerror}.") from exc

    @property
    def model(self) -> str:
        return self._variables.get("GATEWAY_MODEL") or DEFAULT_MODEL

    def prices(self) -> Prices | None:
        path = self._variables.get("GATEWAY_PRICES_FILE")
        if not path:
            return None
        # Only here: few commands need it, and all would wait for its import.
        from gateway.config import load_prices

        try:
            return load_prices(Path(path))
        except (OSError, ValueError) as exc:
            raise Complaint(f"GATEWAY_PRICES_FILE is wrong: {_line(exc)}.") from exc

    def peppers(self, *, required: bool) -> Peppers:
        """Those that key hashes are made with. Only who makes keys needs the true ones."""
        setting = self._variables.get("GATEWAY_KEY_PEPPERS")
        if not setting:
            if required:
                raise Complaint(
                    "GATEWAY_KEY_PEPPERS is not set; use the value that the gateway runs with."
                )
            return Peppers({1: secrets.token_bytes(MIN_PEPPER_BYTES)})
        try:
            return Peppers.parse(setting)
        except ValueError as exc:
            if required:
                raise Complaint(f"GATEWAY_KEY_PEPPERS is wrong: {exc}.") from exc
            return Peppers({1: secrets.token_bytes(MIN_PEPPER_BYTES)})

    def open_store(self) -> Store:
        """A client of REDIS_URL; nothing is sent yet."""
        authorities = self._variables.get("GATEWAY_REDIS_CA_FILE")
        try:
            return _open(
                self._variables.get("REDIS_URL") or DEFAULT_REDIS_URL,
                None if not authorities else Path(authorities),
            )
        except ValueError as exc:
            raise Complaint(f"REDIS_URL is wrong: {exc}.") from exc

    async def require_redis(self, store: Store) -> None:
        """Say at once, and in words for an operator, that it is away."""
        try:
            with store_errors():
                await store.ping()
        except StoreUnavailable as exc:
            raise Complaint(f"Redis is not available ({_line(exc)}). {HINT}") from exc


def _open(url: str, ca_file: Path | None) -> Store:
    """Raises ValueError, safe to be shown."""
    if not is_one_server(url) and "+" in url.partition("://")[0]:
        return connect(url, timeout_s=TIMEOUT_S, ca_file=ca_file)
    try:
        parts = urlsplit(url)
        # Without this, what precedes a stray / or # in a password is the host and the port.
        strayed = "@" in f"{parts.path}{parts.query}{parts.fragment}"
        parts.port  # noqa: B018  reading it checks it
        (parts.hostname or "").encode("idna")
    except ValueError:
        strayed = True
    if strayed:
        raise ValueError(
            f"it should look like {EXAMPLE}; in a password write / # ? @ as %2F %23 %3F %40"
        )
    try:
        store = connect(url, timeout_s=TIMEOUT_S, ca_file=ca_file)
        # An option that there is not is noticed only when a connection is made.
        pool = store.connection_pool
        with store_errors():
            pool.connection_class(**pool.connection_kwargs)
    except (TypeError, ValueError, StoreUnavailable):
        # Not `from exc`: the original quotes what it could not read.
        raise ValueError(
            f"it should look like {EXAMPLE}; what follows a ? has to be an option of redis-py"
        ) from None
    return store


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(". ")
