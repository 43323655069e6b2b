"""gwctl usage, costs, ledger, leases, audit, redis-acl, audit-log."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from gateway.gwctl import values
from gateway.gwctl.admin_client import AdminClient
from gateway.gwctl.complaint import Complaint
from gateway.gwctl.parsing import Subparsers, add_command, add_days, add_noun, add_project
from gateway.gwctl.projects import project_path
from gateway.gwctl.tables import Row, timestamp
from gateway.store.acl import acl_rules
from gateway.store.usage import MAX_DAYS

DEFAULT_USAGE_DAYS = 30
DEFAULT_LEDGER_ENTRIES = 100
DEFAULT_AUDIT_ENTRIES = 50
USAGE = "/v1/organization/usage/completions"
COSTS = "/v1/organization/costs"
AUDIT_LOGS = "/v1/organization/audit_logs"
DAYS_A_PAGE = 31
_PROJECT = "prj_5GmXw3Yk1ZrQb8TnLd0VuE"
# What a row of usage may be of, and what the API calls it.
GROUPS = {"project": "project_id", "model": "model", "key": "api_key_id"}


def add(nouns: Subparsers) -> None:
    usage_parser = add_command(
        nouns,
        "usage",
        usage,
        "what was used, by day",
        f"usage --project {_PROJECT}",
        f"usage --project {_PROJECT} --since 2026-11-01 --until 2026-11-30 -o json",
        "usage --by project,model --since 2026-11-01 -o csv",
    )
    add_project(usage_parser, required=False, help="only this one (default: all)")
    add_days(usage_parser)
    usage_parser.add_argument(
        "--by",
        type=values.among(GROUPS),
        metavar="WHAT",
        default=None,
        help="project, model, key; several with commas (default: model,key of one project)",
    )
    costs_parser = add_command(
        nouns,
        "costs",
        costs,
        "what it has cost, by day and project, at the prices of now",
        "costs --since 2026-11-01 -o csv",
        f"costs --project {_PROJECT} --by-item",
        more="The gateway needs GATEWAY_PRICES_FILE.",
    )
    add_project(costs_parser, required=False, help="only this one (default: all)")
    add_days(costs_parser)
    costs_parser.add_argument(
        "--by-item", action="store_true", help="input, cached input and output apart"
    )
    ledger_parser = add_command(
        nouns,
        "ledger",
        ledger,
        "what a project was charged, by response",
        f"ledger --project {_PROJECT} --limit 20",
        f"ledger --project {_PROJECT} --after 0-0 --limit 1000 -o json",
        f"ledger --project {_PROJECT} --after 1795348800123-0 --limit 1000 -o json",
        more="One row for each response that was charged, in the order they were: the last ones,\n"
        "or with --after the next ones, for an export that goes on where it has stopped.",
    )
    add_project(ledger_parser)
    ledger_parser.add_argument(
        *("--limit", "-n"),
        type=values.positive,
        default=DEFAULT_LEDGER_ENTRIES,
        metavar="N",
        help=f"at most so many (default: {DEFAULT_LEDGER_ENTRIES})",
    )
    ledger_parser.add_argument(
        "--after", type=values.entry_id, metavar="ENTRY", help="0-0: from the first on"
    )
    leases_parser = add_command(
        nouns, "leases", leases, "requests in flight of a project", f"leases --project {_PROJECT}"
    )
    add_project(leases_parser)
    audit_parser = add_command(
        nouns,
        "audit",
        audit,
        "compare ledger, counters and budgets",
        "audit",
        f"audit --project {_PROJECT} -o json",
        more="""
What was used is recomputed from the ledger, and compared with the counters of each day and
with what the budgets say is used. At a quiet moment there is no difference; exit code 1 if
there is.""",
    )
    audit_parser.set_defaults(rows_are_wrong=True)
    add_project(audit_parser, required=False, help="only this one (default: all)")
    acl = add_command(
        nouns,
        "redis-acl",
        redis_acl,
        "print what the gateway's user may do in Redis: a line for an ACL file",
        "redis-acl --user gateway --cluster",
        more="Neither a gateway nor Redis is asked. docs/redis.md says what to do with it.",
    )
    acl.set_defaults(needs_api=False)
    acl.add_argument("--user", default="gateway", metavar="NAME", help="(default: gateway)")
    acl.add_argument("--cluster", action="store_true", help="with what a cluster's clients need")
    verbs = add_noun(nouns, "audit-log", "who changed what", "list", "verify")
    listing = add_command(
        verbs,
        "list",
        list_audit_log,
        "list changes, newest first",
        "audit-log list -n 20",
        f"audit-log list --project {_PROJECT} -o json",
    )
    listing.add_argument(
        *("--limit", "-n"),
        type=values.positive,
        default=DEFAULT_AUDIT_ENTRIES,
        metavar="N",
        help=f"at most so many (default: {DEFAULT_AUDIT_ENTRIES})",
    )
    add_project(listing, required=False, help="only changes of this one")
    add_command(
        verbs,
        "verify",
        verify_audit_log,
        "walk the chain of hashes; exit code 1 if somebody has changed the log",
        "audit-log verify",
    )


async def usage(arguments: argparse.Namespace, api: AdminClient) -> Sequence[Row]:
    by = arguments.by or ["model", "key"] + (["project"] if arguments.project is None else [])
    since, until = _days(arguments)
    if arguments.project is not None:
        await api.get(project_path(arguments.project))
    buckets = await api.all_buckets(
        USAGE,
        **_period(since, until),
        bucket_width="1d",
        limit=DAYS_A_PAGE,
        project_ids=arguments.project,
        group_by=",".join(GROUPS[each] for each in by),
    )
    return [_usage_row(bucket, result, by) for bucket in buckets for result in bucket["results"]]


async def costs(arguments: argparse.Namespace, api: AdminClient) -> Sequence[Row]:
    since, until = _days(arguments)
    group_by = ["project_id", *(["line_item"] if arguments.by_item else [])]
    buckets = await api.all_buckets(
        COSTS,
        **_period(since, until),
        limit=DAYS_A_PAGE,
        project_ids=arguments.project,
        group_by=",".join(group_by),
    )
    return [
        {
            "day": _day(bucket),
            "project": result["project_id"],
            **({"item": result["line_item"]} if arguments.by_item else {}),
            "amount": result["amount"]["exact_value"],
            "currency": result["amount"]["currency"],
        }
        for bucket in buckets
        for result in bucket["results"]
    ]


async def ledger(arguments: argparse.Namespace, api: AdminClient) -> Sequence[Row]:
    path = f"{project_path(arguments.project)}/ledger"
    rows: list[Row] = []
    after = arguments.after
    while len(rows) < arguments.limit:
        page = await api.get(path, after=after, limit=min(arguments.limit - len(rows), 10_000))
        rows += [_ledger_row(entry) for entry in page["data"]]
        if not page["has_more"]:
            break
        after = page["last_id"]
    return rows


async def leases(arguments: argparse.Namespace, api: AdminClient) -> Sequence[Row]:
    project_path(arguments.project)
    page = await api.get("/admin/v1/leases", project_id=arguments.project)
    return [
        {
            "response": lease["id"],
            "admitted": timestamp(lease["admitted_at_ms"] // 1000),
            "model": lease["model"],
            "kid": lease["api_key_id"],
            "reserved_input_tokens": lease["reserved_input_tokens"],
            "reserved_output_tokens": lease["reserved_output_tokens"],
            "reserved_budget_tokens": lease["reserved_budget_tokens"],
            "output_tokens": lease["progress"]["output_tokens"],
        }
        for lease in page["data"]
    ]


async def audit(arguments: argparse.Namespace, api: AdminClient) -> Sequence[Row]:
    if arguments.project is not None:
        project_path(arguments.project)
    books = await api.get("/admin/v1/books", project_id=arguments.project)
    differences = books["differences"]
    # Said on stderr, so that `gwctl ... -o json | jq` stays JSON.
    print(
        f"{books['projects']} projects, {books['entries']} entries of their ledgers,"
        f" {books['open_leases']} open leases: {len(differences)} differences.",
        file=sys.stderr,
    )
    if differences and books["open_leases"]:
        print(
            "Responses are being charged just now: look again at a quiet moment.", file=sys.stderr
        )
    return [
        {
            "project": each["project_id"],
            "what": each["what"],
            "ledger": each["ledger"],
            "counted": each["counted"],
        }
        for each in differences
    ]


def redis_acl(arguments: argparse.Namespace) -> Row | str:
    line = f"user {arguments.user} on >PASSWORD {acl_rules(cluster=arguments.cluster)}"
    # To be appended to a file as it is.
    return line if arguments.output == "table" else {"acl": line}


async def list_audit_log(arguments: argparse.Namespace, api: AdminClient) -> Sequence[Row]:
    rows: list[Row] = []
    after: str | None = None
    while len(rows) < arguments.limit:
        page = await api.get(
            AUDIT_LOGS,
            limit=min(arguments.limit - len(rows), 100),
            after=after,
            project_ids=arguments.project,
        )
        rows += [_audit_row(entry) for entry in page["data"]]
        if not page["has_more"]:
            break
        after = page["last_id"]
    return rows


async def verify_audit_log(arguments: argparse.Namespace, api: AdminClient) -> Row:
    told = await api.get(f"{AUDIT_LOGS}/verify")
    if not told["intact"]:
        raise Complaint(
            f"The audit log was changed: entry {told['broken_at']} does not follow from the one"
            f" before it; the {told['entries']} before are whole. The gateways' own logs have all"
            " hashes as they were."
        )
    return {
        "intact": True,
        "entries": told["entries"],
        "last_hash": told["last_hash"],
    }


def _days(arguments: argparse.Namespace) -> tuple[date, date]:
    until: date = arguments.until or datetime.now(UTC).date()
    since: date = arguments.since or until - timedelta(days=DEFAULT_USAGE_DAYS - 1)
    if since > until:
        raise Complaint(f"--since {since} is after --until {until}.")
    if (until - since).days >= MAX_DAYS:
        raise Complaint(f"That is too long a time: usage is kept, and read, for {MAX_DAYS} days.")
    return since, until


def _period(since: date, until: date) -> dict[str, int]:
    def midnight(day: date) -> int:
        return int(datetime.combine(day, time(), UTC).timestamp())

    return {
        "start_time": max(midnight(since), 0),
        "end_time": midnight(until + timedelta(days=1)),
    }


def _day(bucket: Mapping[str, Any]) -> str:
    return datetime.fromtimestamp(bucket["start_time"], UTC).date().isoformat()


def _usage_row(bucket: Mapping[str, Any], result: Mapping[str, Any], by: Sequence[str]) -> Row:
    shown = {"project": "project", "model": "model", "key": "kid"}
    return {
        "day": _day(bucket),
        **{shown[each]: result[GROUPS[each]] for each in shown if each in by},
        "requests": result["num_model_requests"],
        "input_tokens": result["input_tokens"],
        "cached_tokens": result["input_cached_tokens"],
        "output_tokens": result["output_tokens"],
        "reasoning_tokens": result["output_reasoning_tokens"],
    }


def _ledger_row(entry: Mapping[str, Any]) -> Row:
    return {
        "entry": entry["id"],
        "admitted": timestamp(entry["admitted_at_ms"] // 1000),
        "response": entry["response_id"],
        "model": entry["model"],
        "kid": entry["api_key_id"],
        "status": entry["status"],
        "verdict": entry["verdict"],
        "requests": entry["requests"],
        "input_tokens": entry["input_tokens"],
        "cached_tokens": entry["cached_tokens"],
        "output_tokens": entry["output_tokens"],
        "reasoning_tokens": entry["reasoning_tokens"],
    }


def _audit_row(entry: Mapping[str, Any]) -> Row:
    return {
        "entry": entry["id"],
        "at": timestamp(entry["effective_at"]),
        "what": entry["type"],
        "of": entry["target"]["id"],
        "by": entry["actor"]["api_key"]["id"],
        "from": entry["actor"]["ip_address"],
        "before": entry["before"],
        "after": entry["after"],
    }
