"""Records as the admin API tells them: OpenAI's fields, then ours."""

from __future__ import annotations

from dataclasses import asdict

from gateway.asgi.standings import limits_object
from gateway.iam.api_key import redacted
from gateway.iam.policy import Policy, rule_to_json
from gateway.store.audit import AuditEntry
from gateway.store.records import (
    KeyRecord,
    KeyState,
    OrganisationRecord,
    PrincipalRecord,
    PrincipalState,
    ProjectConfig,
    ProjectState,
)
from gateway.store.scope_state import Lease
from gateway.store.usage import LedgerEntry

Json = dict[str, object]


def organisation_object(organisation: OrganisationRecord) -> Json:
    return {
        "object": "organization",
        "id": organisation.organisation_id,
        "name": organisation.name,
        "created_at": organisation.created_at,
    }


def project_object(project: ProjectConfig) -> Json:
    archived = project.state is ProjectState.DISABLED
    return {
        "object": "organization.project",
        "id": project.project_id,
        "name": project.name,
        "created_at": project.created_at,
        "archived_at": project.disabled_at if archived else None,
        "status": "archived" if archived else "active",
        "organization_id": project.organisation_id,
        "managed": project.managed,
        "limits": limits_object(project.limits),
    }


def rate_limit_object(project: ProjectConfig, model: str) -> Json:
    return {
        "object": "project.rate_limit",
        "id": f"rl-{model}",
        "model": model,
        "max_requests_per_1_minute": project.limits.requests_per_minute,
        "max_tokens_per_1_minute": project.limits.tokens_per_minute,
    }


def key_object(key: KeyRecord, owner: PrincipalRecord | None, *, now: int) -> Json:
    """*owner*: who bears it; *now*: Unix time, s: expired keys are told as such."""
    expired = key.expires_at is not None and key.expires_at <= now
    status = "revoked" if key.state is KeyState.REVOKED else "expired" if expired else "active"
    rotating = key.previous is not None and key.previous.until > now
    has_access = owner is not None and owner.state is PrincipalState.ACTIVE
    is_tenants = key.kind == "tenant"
    return {
        "object": "organization.project.api_key" if is_tenants else "organization.admin_api_key",
        "id": key.kid,
        "name": key.name,
        "redacted_value": redacted(key.kid, key.kind),
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
        "owner": (_owner_object if is_tenants else _admin_owner_object)(key.principal_id, owner),
        "owner_project_access": "active" if has_access else "inactive",
        "status": status,
        "expires_at": key.expires_at,
        "project_id": key.default_project_id,
        "principal_id": key.principal_id,
        "source_cidrs": None if key.source_cidrs is None else list(key.source_cidrs.texts),
        "limits": limits_object(key.limits),
        "previous_secret_until": key.previous.until if rotating and key.previous else None,
        "pepper_version": key.hashed_secret.pepper_version,
        "managed": key.managed,
    }


def _owner_object(principal_id: str, owner: PrincipalRecord | None) -> Json:
    kind = "user" if principal_id.startswith("usr_") else "service_account"
    told: Json = {
        "id": principal_id,
        "name": "" if owner is None else owner.name,
        "created_at": 0 if owner is None else owner.created_at,
        "role": "member",
    }
    if kind == "user":
        # What an identity provider calls it is the nearest that there is.
        told["email"] = (owner.subject if owner is not None else None) or ""
    return {"type": kind, kind: told}


def _admin_owner_object(principal_id: str, owner: PrincipalRecord | None) -> Json:
    return {
        "type": "user" if principal_id.startswith("usr_") else "service_account",
        "object": "organization.user",
        "id": principal_id,
        "name": "" if owner is None else owner.name,
        "created_at": 0 if owner is None else owner.created_at,
        "role": "owner",
    }


def service_account_object(principal: PrincipalRecord) -> Json:
    return {
        "object": "organization.project.service_account",
        "id": principal.principal_id,
        "name": principal.name,
        "role": "member",
        "created_at": principal.created_at,
    }


def principal_object(principal: PrincipalRecord) -> Json:
    return {
        "object": f"organization.{principal.kind}",
        "id": principal.principal_id,
        "name": principal.name,
        "organization_id": principal.organisation_id,
        "status": principal.state.value,
        "created_at": principal.created_at,
        "default_project_id": principal.default_project_id,
        "issuer": principal.issuer,
        "subject": principal.subject,
        "managed": principal.managed,
    }


def policy_object(policy: Policy) -> Json:
    return {
        "object": "organization.policy",
        "id": policy.policy_id,
        "name": policy.name,
        "organization_id": policy.organisation_id,
        "principal_ids": sorted(policy.principal_ids),
        "rules": [rule_to_json(rule) for rule in policy.rules],
        "managed": policy.managed,
    }


def audit_object(entry: AuditEntry) -> Json:
    actor, change = entry.actor, entry.change
    return {
        "object": "organization.audit_log",
        "id": entry.entry_id,
        "type": change.type,
        "effective_at": entry.effective_at,
        "actor": {
            "type": "api_key",
            "api_key": {
                "id": actor.kid,
                "type": "service_account",
                "service_account": {"id": actor.principal_id},
            },
            "ip_address": actor.ip,
            "user_agent": actor.user_agent,
        },
        "project": None if change.project_id is None else {"id": change.project_id},
        "target": {"id": change.target},
        "before": change.before,
        "after": change.after,
        "hash": entry.hash,
    }


def lease_object(project_id: str, lease: Lease) -> Json:
    return {
        "object": "lease",
        "id": lease.lease_id,
        "project_id": project_id,
        "api_key_id": lease.kid,
        "model": lease.model,
        "admitted_at_ms": lease.admitted_at_ms,
        "reserved_input_tokens": lease.input_tokens,
        "reserved_output_tokens": lease.output_tokens,
        "reserved_budget_tokens": lease.budget_tokens,
        "progress": asdict(lease.progress),
    }


def ledger_object(entry: LedgerEntry) -> Json:
    return {
        "object": "ledger.entry",
        "id": entry.entry_id,
        "admitted_at_ms": entry.admitted_at_ms,
        "response_id": entry.response_id,
        "model": entry.model,
        "api_key_id": entry.kid,
        "status": entry.status,
        "verdict": entry.verdict,
        "requests": entry.requests,
        **asdict(entry.usage),
    }
