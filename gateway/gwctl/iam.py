"""gwctl application, user, service-account, policy, permission-set."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from gateway.gwctl import values
from gateway.gwctl.admin_client import AdminClient, given
from gateway.gwctl.complaint import Complaint
from gateway.gwctl.keys import token_row
from gateway.gwctl.parsing import Subparsers, add_command, add_noun, add_project
from gateway.gwctl.projects import project_path
from gateway.gwctl.tables import Row, timestamp
from gateway.iam.ids import DEFAULT_ORGANISATION
from gateway.iam.permissions import PERMISSIONS
from gateway.quota.service_tier import ServiceTier

POLICIES = "/admin/v1/policies"
_PROJECT = "prj_5GmXw3Yk1ZrQb8TnLd0VuE"
_RULES = """\
Rules are given by --permission-set with --project or --whole-organization, or in a file, YAML or
JSON: a list such as

  - permission_sets: [GenerativeApisModelAccess]
    project_ids: [prj_team_a]
    conditions: {source_cidrs: [10.0.0.0/8], weekdays: [mon, tue], hours: 08:00-18:00}
"""


def add(nouns: Subparsers) -> None:
    for kind, example in (("application", "app_crawler"), ("user", "usr_anna")):
        _add_principals(nouns, kind, example)
    _add_service_accounts(nouns)
    _add_policies(nouns)
    verbs = add_noun(nouns, "permission-set", "what policies are made of", "list")
    add_command(verbs, "list", list_permission_sets, "list permission sets", "permission-set list")


def _add_principals(nouns: Subparsers, kind: str, example: str) -> None:
    verbs = add_noun(
        nouns,
        kind,
        f"create, list and delete {kind}s: who may do something",
        *("create", "list", "delete", "revoke-keys"),
    )
    create = add_command(
        verbs,
        "create",
        partial(create_principal, kind),
        f"create {'an' if kind[0] == 'a' else 'a'} {kind}, which may do nothing until a policy names it",
        f"{kind} create --name {example.partition('_')[2]}",
        f"{kind} create --name {example.partition('_')[2]} --id {example} --project {_PROJECT}",
    )
    create.add_argument("--name", required=True, type=values.name, help="a name for people")
    create.add_argument("--id", help="use this id instead of a random one")
    add_project(create, required=False, help="of requests that name none")
    create.add_argument("--issuer", metavar="URL", help="the identity provider that knows it,")
    create.add_argument("--subject", metavar="TEXT", help="and under which id")
    add_command(verbs, "list", partial(list_principals, kind), f"list {kind}s", f"{kind} list")
    delete = add_command(
        verbs,
        "delete",
        partial(delete_principal, kind),
        "delete it, and refuse its keys and tokens from the next request on",
        f"{kind} delete {example}",
    )
    revoke = add_command(
        verbs,
        "revoke-keys",
        partial(revoke_keys, kind),
        "revoke all keys that it bears",
        f"{kind} revoke-keys {example}",
    )
    for each in (delete, revoke):
        each.add_argument("id", metavar="ID", help=f"as `gwctl {kind} list` shows it")


def _add_service_accounts(nouns: Subparsers) -> None:
    verbs = add_noun(
        nouns, "service-account", "applications of one project", "create", "list", "delete"
    )
    create = add_command(
        verbs,
        "create",
        create_service_account,
        "create an application that may use the models in a project, and its key",
        f"service-account create --project {_PROJECT} crawler",
        needs_peppers=True,
    )
    create.add_argument("name", type=values.name, help="a name for people")
    listing = add_command(
        verbs,
        "list",
        list_service_accounts,
        "list the service accounts of a project",
        f"service-account list --project {_PROJECT}",
    )
    delete = add_command(
        verbs,
        "delete",
        delete_service_account,
        "delete one, and refuse its keys from the next request on",
        f"service-account delete --project {_PROJECT} app_4kT2",
    )
    for each in (create, listing, delete):
        add_project(each)
    delete.add_argument("id", metavar="ID", help="as `gwctl service-account list` shows it")


def _add_policies(nouns: Subparsers) -> None:
    verbs = add_noun(
        nouns,
        "policy",
        "who may do what, where and when",
        *("create", "list", "show", "set", "delete", "explain"),
    )
    create = add_command(
        verbs,
        "create",
        create_policy,
        "create a policy; it holds from the next request on",
        f"policy create ci --principal app_ci --permission-set GenerativeApisModelAccess"
        f" --project {_PROJECT}",
        "policy create ops --principal usr_anna --permission-set IAMManager --whole-organization",
        "policy create office-hours --principal app_ci --rules rules.yaml",
        more=_RULES,
    )
    create.add_argument("name", type=values.name, help="a name for people")
    replace = add_command(
        verbs,
        "set",
        replace_policy,
        "replace a policy whole: what is not named is gone",
        "policy set pol_4kT2 ci --principal app_ci --rules rules.yaml",
        more=_RULES,
    )
    replace.add_argument("id", metavar="ID", help="as `gwctl policy list` shows it")
    replace.add_argument("name", type=values.name, help="a name for people")
    for each in (create, replace):
        each.add_argument(
            "--principal", action="append", default=[], metavar="ID", help="may be repeated"
        )
        each.add_argument(
            "--permission-set",
            action="append",
            metavar="NAME",
            help="as `gwctl permission-set list` shows them; may be repeated",
        )
        each.add_argument("--project", action="append", metavar="ID", help="may be repeated")
        each.add_argument(
            "--whole-organization", action="store_true", help="all projects, future ones as well"
        )
        each.add_argument("--rules", metavar="FILE", help="the rules, YAML or JSON")
    listing = add_command(
        verbs, "list", list_policies, "list policies", "policy list --principal app_ci"
    )
    listing.add_argument("--principal", metavar="ID", help="only those that name it")
    show = add_command(verbs, "show", show_policy, "tell a policy's rules", "policy show pol_4kT2")
    delete = add_command(
        verbs,
        "delete",
        delete_policy,
        "delete a policy; what only it allowed is denied from the next request on",
        "policy delete pol_4kT2",
    )
    for each in (show, delete):
        each.add_argument("id", metavar="ID", help="as `gwctl policy list` shows it")
    explain = add_command(
        verbs,
        "explain",
        explain_policy,
        "tell what is decided, and what each rule says to it",
        f"policy explain --key 8fKq2LxZ0aPwT3mB --project {_PROJECT}",
        f"policy explain --principal app_ci --permission usage:read --project {_PROJECT}"
        " --address 10.1.2.3",
    )
    who = explain.add_mutually_exclusive_group(required=True)
    who.add_argument("--principal", metavar="ID", help="an application or a user")
    who.add_argument("--key", type=values.kid, metavar="KID", help="what this key may do")
    explain.add_argument(
        "--permission", choices=PERMISSIONS, default="model:use", help="(default: model:use)"
    )
    explain.add_argument("--project", metavar="ID", help="(default: that of the key)")
    explain.add_argument("--model", metavar="NAME", help="the model that is asked")
    explain.add_argument(
        "--tier", choices=[tier.value for tier in ServiceTier], help="the service tier"
    )
    explain.add_argument("--address", metavar="IP", help="where the request comes from")
    explain.add_argument("--user-agent", metavar="TEXT", default="", help="what it is sent with")


async def create_principal(kind: str, arguments: argparse.Namespace, api: AdminClient) -> Row:
    body = given(
        name=arguments.name,
        id=arguments.id,
        default_project_id=arguments.project,
        issuer=arguments.issuer,
        subject=arguments.subject,
    )
    return _principal_row(await api.post(f"/admin/v1/{kind}s", body))


async def list_principals(
    kind: str, arguments: argparse.Namespace, api: AdminClient
) -> Sequence[Row]:
    return [_principal_row(each) for each in await api.all(f"/admin/v1/{kind}s")]


async def delete_principal(kind: str, arguments: argparse.Namespace, api: AdminClient) -> Row:
    await api.delete(f"/admin/v1/{kind}s/{_part(arguments.id)}")
    return {"id": arguments.id, "state": "deleted"}


async def revoke_keys(kind: str, arguments: argparse.Namespace, api: AdminClient) -> Sequence[Row]:
    told = await api.post(f"/admin/v1/{kind}s/{_part(arguments.id)}/revoke_keys")
    return [{"kid": kid, "state": "revoked"} for kid in told["api_key_ids"]]


async def create_service_account(arguments: argparse.Namespace, api: AdminClient) -> Row:
    path = f"{project_path(arguments.project)}/service_accounts"
    account = await api.post(path, {"name": arguments.name})
    return {"id": account["id"], **token_row(account["api_key"])}


async def list_service_accounts(arguments: argparse.Namespace, api: AdminClient) -> Sequence[Row]:
    found = await api.all(f"{project_path(arguments.project)}/service_accounts")
    return [
        {"id": each["id"], "name": each["name"], "created": timestamp(each["created_at"])}
        for each in found
    ]


async def delete_service_account(arguments: argparse.Namespace, api: AdminClient) -> Row:
    path = f"{project_path(arguments.project)}/service_accounts/{_part(arguments.id)}"
    await api.delete(path)
    return {"id": arguments.id, "state": "deleted"}


async def create_policy(arguments: argparse.Namespace, api: AdminClient) -> Row:
    return _policy_row(await api.post(POLICIES, await _policy_body(arguments, api)))


async def replace_policy(arguments: argparse.Namespace, api: AdminClient) -> Row:
    body = await _policy_body(arguments, api)
    return _policy_row(await api.post(f"{POLICIES}/{_part(arguments.id)}", body))


async def list_policies(arguments: argparse.Namespace, api: AdminClient) -> Sequence[Row]:
    found = await api.all(POLICIES, principal_id=arguments.principal)
    return [{**_policy_row(each), "rules": len(each["rules"])} for each in found]


async def show_policy(arguments: argparse.Namespace, api: AdminClient) -> Row:
    return _policy_row(await api.get(f"{POLICIES}/{_part(arguments.id)}"))


async def delete_policy(arguments: argparse.Namespace, api: AdminClient) -> Row:
    await api.delete(f"{POLICIES}/{_part(arguments.id)}")
    return {"id": arguments.id, "state": "deleted"}


async def explain_policy(arguments: argparse.Namespace, api: AdminClient) -> Row:
    body = given(
        permission=arguments.permission,
        principal_id=arguments.principal,
        api_key_id=arguments.key,
        project_id=arguments.project,
        model=arguments.model,
        tier=arguments.tier,
        address=arguments.address,
        user_agent=arguments.user_agent,
    )
    told = await api.post(f"{POLICIES}/explain", body)
    return {
        "allowed": told["allowed"],
        "policy": told["policy_id"],
        "rule": told["rule"],
        "verdict": told["verdict"],
        **{f"reason_{number}": text for number, text in enumerate(told["reasons"], start=1)},
    }


async def list_permission_sets(arguments: argparse.Namespace, api: AdminClient) -> Sequence[Row]:
    page = await api.get("/admin/v1/permission_sets")
    return [
        {
            "name": each["id"],
            "permissions": each["permissions"],
            "description": each["description"],
        }
        for each in page["data"]
    ]


async def _policy_body(arguments: argparse.Namespace, api: AdminClient) -> dict[str, object]:
    return {
        "name": arguments.name,
        "principal_ids": arguments.principal,
        "rules": await _rules(arguments, api),
    }


async def _rules(arguments: argparse.Namespace, api: AdminClient) -> list[object]:
    if arguments.rules is not None:
        if arguments.permission_set or arguments.project or arguments.whole_organization:
            raise Complaint("Give the rules either in a file or by options, not both.")
        return read_rules_file(Path(arguments.rules))
    if not arguments.permission_set:
        raise Complaint("A policy needs rules: --permission-set or --rules.")
    if bool(arguments.project) == arguments.whole_organization:
        raise Complaint("A rule holds either for --project or for the --whole-organization.")
    rule: dict[str, object] = {"permission_sets": arguments.permission_set}
    if arguments.project:
        rule["project_ids"] = arguments.project
    else:
        rule["organization_id"] = arguments.organization or await _own_organisation(api)
    return [rule]


async def _own_organisation(api: AdminClient) -> str:
    """The one that requests speak for: that of the key; of who may see several, the default."""
    found = await api.all("/admin/v1/organizations")
    return str(found[0]["id"]) if len(found) == 1 else DEFAULT_ORGANISATION


def read_rules_file(path: Path) -> list[object]:
    """Raises Complaint."""
    try:
        rules = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise Complaint(f"{path} cannot be read: {' '.join(str(exc).split())}.") from exc
    if not isinstance(rules, list):
        raise Complaint(f"{path} has to hold a list of rules.")
    return rules


def _part(text: str) -> str:
    """An id, as a part of a path. Raises Complaint for what cannot be one."""
    if not text.isascii() or not text.replace("_", "").replace("-", "").isalnum():
        raise Complaint("There is no such thing: an id has letters, digits, _ and - only.")
    return text


def _principal_row(principal: Mapping[str, Any]) -> Row:
    return {
        "id": principal["id"],
        "name": principal["name"],
        "default_project": principal["default_project_id"],
        "issuer": principal["issuer"],
        "subject": principal["subject"],
        "managed": principal["managed"],
        "created": timestamp(principal["created_at"]),
    }


def _policy_row(policy: Mapping[str, Any]) -> Row:
    return {
        "id": policy["id"],
        "name": policy["name"],
        "principals": policy["principal_ids"],
        "managed": policy["managed"],
        "rules": policy["rules"],
    }
