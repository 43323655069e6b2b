"""Put the admin API together: for the gateway's listener, and for `gwctl` without one."""

from __future__ import annotations

import logging

from starlette.types import ASGIApp

from gateway.asgi.admin.admin_api import admin_api
from gateway.asgi.admin.api_keys import ApiKeyEndpoints
from gateway.asgi.admin.audit_logs import AuditEndpoints
from gateway.asgi.admin.call import AdminCalls
from gateway.asgi.admin.declarations import DeclarationEndpoints
from gateway.asgi.admin.limits import LimitEndpoints
from gateway.asgi.admin.operations import OperationEndpoints
from gateway.asgi.admin.policies import PolicyEndpoints
from gateway.asgi.admin.principals import PrincipalEndpoints
from gateway.asgi.admin.projects import ProjectEndpoints
from gateway.asgi.admin.usage import UsageEndpoints
from gateway.asgi.administrators import Administrators
from gateway.asgi.authentication import Credentials
from gateway.iam.secret_hash import Peppers
from gateway.quota.prices import Prices
from gateway.store.administration import Administration
from gateway.store.audit import AuditEntry, AuditLog
from gateway.store.books import Books
from gateway.store.connection import Store
from gateway.store.declarations import Declarations
from gateway.store.directory import Directory
from gateway.store.durability import Durability
from gateway.store.policies import Policies
from gateway.store.principals import Principals
from gateway.store.standing import Standings
from gateway.store.usage import UsageReader
from gateway.store.usage_buckets import UsageBuckets
from gateway.telemetry.logs import AUDIT, FIELDS
from gateway.telemetry.metrics import Metrics

_audit_log = logging.getLogger(AUDIT)


def build_admin_api(
    store: Store,
    peppers: Peppers,
    metrics: Metrics,
    *,
    model: str,
    bootstrap_key: str | None,
    replicas: int = 0,
    prices: Prices | None = None,
) -> ASGIApp:
    """*bootstrap_key*: a token that may do everything; without one, admin keys alone may.

    *replicas*: how many must have a change before it is answered.
    """
    # Nothing is cached: what was taken away is gone with the next request.
    directory = Directory(store, peppers, cache_s=0, stale_s=0)
    # No proxies are believed: it is not meant to be behind those of tenants.
    credentials = Credentials(directory, "admin")
    administration, principals, policies = Administration(store), Principals(store), Policies(store)
    reader, standings = UsageReader(store), Standings(store)
    audit = AuditLog(store, on_appended=_logged)
    return admin_api(
        AdminCalls(Administrators(credentials, bootstrap_key=bootstrap_key), administration, audit),
        ProjectEndpoints(administration, principals),
        LimitEndpoints(administration, standings, model),
        ApiKeyEndpoints(administration, principals, peppers),
        PrincipalEndpoints(administration, principals, policies, peppers),
        PolicyEndpoints(administration, principals, policies),
        UsageEndpoints(administration, reader, UsageBuckets(reader), prices),
        AuditEndpoints(audit),
        OperationEndpoints(administration, standings, Books(store)),
        DeclarationEndpoints(Declarations(store, peppers)),
        Durability(store, replicas=replicas),
        metrics,
    )


def _logged(entry: AuditEntry) -> None:
    """In the log of this process as well: whoever can write Redis cannot rewrite both."""
    change, actor = entry.change, entry.actor
    _audit_log.info(
        "audit",
        extra={
            FIELDS: {
                "entry": entry.entry_id,
                "type": change.type,
                "target": change.target,
                "project": change.project_id,
                "by": actor.kid,
                "principal": actor.principal_id,
                "ip": actor.ip,
                "hash": entry.hash,
            }
        },
    )
