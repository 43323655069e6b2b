"""gwctl against a running gateway: every command once, through the admin API."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from tests.stack.demo import Tenant
from tests.stack.gwctl_outcome import Gwctl, gwctl_in_process
from tests.stack.process import free_port
from tests.stack.product import ADMIN_KEY, Product
from tests.system.http import create
from tests.system.waiting import wait_until


@pytest.fixture
def gwctl(
    product: Product, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Gwctl:
    for name, value in product.administration.items():
        monkeypatch.setenv(name, value)
    # Neither is there to be asked: all goes through the gateway.
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")
    monkeypatch.delenv("GATEWAY_KEY_PEPPERS", raising=False)

    return gwctl_in_process(capsys)


def of(gwctl: Gwctl, *arguments: str) -> Any:
    return gwctl(*arguments, "-o", "json").json


def test_a_project_from_its_creation_to_its_archive(product: Product, gwctl: Gwctl) -> None:
    project = of(gwctl, "project", "create", "search", "--monthly-tokens", "1000000")["id"]
    key = of(gwctl, "key", "create", "--project", project, "--name", "ci", "--expires", "90d")
    tenant = Tenant(project, key["token"])
    assert create(product.url, tenant).status_code == 200

    def settled() -> bool:
        return bool(of(gwctl, "project", "show", project)["used_monthly_tokens"])

    wait_until(settled, "the response is charged")
    assert of(gwctl, "leases", "--project", project) == []
    (used,) = of(gwctl, "usage", "--project", project)
    assert (used["kid"], used["requests"]) == (key["kid"], 1)
    (entry,) = of(gwctl, "ledger", "--project", project)
    assert entry["output_tokens"] == used["output_tokens"]
    assert of(gwctl, "audit", "--project", project) == []

    assert of(gwctl, "project", "rename", project, "find")["name"] == "find"
    assert of(gwctl, "project", "archive", project)["state"] == "archived"
    assert create(product.url, tenant).status_code == 403
    assert of(gwctl, "project", "restore", project)["state"] == "active"
    changes = of(gwctl, "audit-log", "list", "--project", project)
    assert [change["what"] for change in changes] == [
        "project.restored",
        "project.archived",
        "project.updated",
        "api_key.created",
        "project.created",
    ]
    assert len(of(gwctl, "audit-log", "list", "--project", project, "-n", "2")) == 2
    assert of(gwctl, "audit-log", "verify")["intact"] is True


def test_a_key_is_shown_rotated_limited_and_revoked(product: Product, gwctl: Gwctl) -> None:
    project = of(gwctl, "project", "create", "search")["id"]
    key = of(gwctl, "key", "create", "--project", project, "--cidr", "127.0.0.0/8")
    assert of(gwctl, "key", "show", key["kid"])["source_cidrs"] == ["127.0.0.0/8"]
    rotated = of(gwctl, "key", "rotate", key["kid"], "--overlap", "0")
    statuses = [
        create(product.url, Tenant(project, token)).status_code
        for token in (key["token"], rotated["token"])
    ]
    assert statuses == [401, 200]
    limited = of(gwctl, "key", "set", key["kid"], "--requests-per-minute", "1")
    assert limited["requests_per_minute"] == 1
    assert create(product.url, Tenant(project, rotated["token"])).status_code == 200
    assert create(product.url, Tenant(project, rotated["token"])).status_code == 429
    assert of(gwctl, "key", "revoke", key["kid"])["state"] == "revoked"
    refused = gwctl("key", "rotate", key["kid"])
    assert (refused.code, refused.stdout) == (1, "")
    assert "was revoked, and stays so" in refused.stderr
    assert key["token"].split("_")[2] not in gwctl("key", "list").stdout


def test_somebody_is_given_a_policy_and_an_admin_key(
    product: Product, gwctl: Gwctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = of(gwctl, "project", "create", "mine")["id"]
    theirs = of(gwctl, "project", "create", "theirs")["id"]
    user = of(gwctl, "user", "create", "--name", "anna")["id"]
    policy = of(
        gwctl,
        *("policy", "create", "readers", "--principal", user),
        *("--permission-set", "UsageReadOnly", "--project", mine),
    )["id"]
    explained = of(gwctl, "policy", "explain", "--principal", user, "--project", theirs)
    assert explained["allowed"] is False
    assert "UsageReadOnly does not give model:use" in explained["reason_1"]
    token = of(gwctl, "admin-key", "create", "--principal", user, "--name", "laptop")["token"]

    monkeypatch.setenv("GATEWAY_ADMIN_KEY", token)
    assert [row["id"] for row in of(gwctl, "project", "list")] == [mine]
    refused = gwctl("project", "set", mine, "--daily-tokens", "1")
    assert refused.code == 1
    assert refused.stderr.startswith("gwctl: You may not do this here, or there is no such thing.")

    monkeypatch.setenv("GATEWAY_ADMIN_KEY", ADMIN_KEY)
    assert [row["id"] for row in of(gwctl, "policy", "list", "--principal", user)] == [policy]
    assert of(gwctl, "policy", "delete", policy)["state"] == "deleted"
    monkeypatch.setenv("GATEWAY_ADMIN_KEY", token)
    assert gwctl("project", "list").code == 1
    monkeypatch.setenv("GATEWAY_ADMIN_KEY", ADMIN_KEY)
    revoked = of(gwctl, "user", "revoke-keys", user)
    assert [row["kid"] for row in revoked] == [token.split("_")[1]]
    assert of(gwctl, "user", "delete", user)["state"] == "deleted"


def test_rules_come_from_a_file(gwctl: Gwctl, tmp_path: Path) -> None:
    project = of(gwctl, "project", "create", "search")["id"]
    application = of(gwctl, "application", "create", "--name", "ci", "--project", project)["id"]
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        f"- permission_sets: [GenerativeApisModelAccess]\n  project_ids: [{project}]\n"
        "  conditions: {weekdays: [mon], hours: 08:00-18:00}\n"
    )
    created = of(gwctl, "policy", "create", "x", "--principal", application, "--rules", str(rules))
    assert created["rules"][0]["conditions"] == {"weekdays": ["mon"], "hours": "08:00-18:00"}
    replaced = of(
        gwctl,
        *("policy", "set", created["id"], "y", "--principal", application),
        *("--permission-set", "GenerativeApisFullAccess", "--whole-organization"),
    )
    assert replaced["rules"] == [
        {"permission_sets": ["GenerativeApisFullAccess"], "organization_id": "org_default"}
    ]
    for options, said in (
        ((), "needs rules"),
        (("--permission-set", "X"), "either for --project or"),
        (("--permission-set", "X", "--project", project), "'X' is no permission set"),
        (("--rules", str(tmp_path / "none")), "cannot be read"),
    ):
        refused = gwctl("policy", "create", "z", "--principal", application, *options)
        assert refused.code == 1
        assert said in refused.stderr


def test_a_service_account_comes_with_its_key(product: Product, gwctl: Gwctl) -> None:
    project = of(gwctl, "project", "create", "search")["id"]
    account = of(gwctl, "service-account", "create", "--project", project, "crawler")
    assert create(product.url, Tenant(project, account["token"])).status_code == 200
    (listed,) = of(gwctl, "service-account", "list", "--project", project)
    assert listed["id"] == account["id"]
    gwctl("service-account", "delete", "--project", project, account["id"])
    assert create(product.url, Tenant(project, account["token"])).status_code == 401


def test_a_file_is_applied(product: Product, gwctl: Gwctl, tmp_path: Path) -> None:
    minted = of(gwctl, "key", "mint")
    (tmp_path / "token").write_text(minted["token"] + "\n")
    file = tmp_path / "tenants.yaml"
    declared = """
projects:
  - {id: prj_gwctl_apply, name: team-a, limits: {requests_per_minute: 600}}
keys:
  - {name: ci-1, project_id: prj_gwctl_apply, token_file: token}
"""
    file.write_text(declared)
    planned = gwctl("apply", str(file), "--dry-run", "-o", "json")
    assert planned.stderr == "2 changes would be made.\n"
    assert [row["action"] for row in planned.json] == ["create", "create"]
    assert gwctl("apply", str(file)).stderr == "2 changes made.\n"
    assert create(product.url, Tenant("", minted["token"])).status_code == 200
    assert gwctl("apply", str(file)).stderr == "0 changes made.\n"

    file.write_text(declared.replace("600", "60"))
    project, key = of(gwctl, "apply", str(file))
    assert project["changes"] == (
        'limits: {"requests_per_minute": 600} -> {"requests_per_minute": 60}'
    )
    assert key["action"] == "unchanged"
    refused = gwctl("project", "rename", "prj_gwctl_apply", "b")
    assert "is declared in a file" in refused.stderr

    for wrong, said in (
        ("projects: {", "cannot be read"),
        ("- a", "has to hold projects"),
        ("prjects: []", "Unknown parameter: 'document.prjects'"),
        ("keys: [{token: x, project_id: y}]", "a token must not be in the file"),
        ("keys: [{project_id: y}]", "needs either a token_file or a token_env"),
        ("keys: [{project_id: y, token_env: NOT_SET}]", "the environment has no NOT_SET"),
        ("keys: [{project_id: y, token_file: none}]", "none cannot be read"),
        ("keys: [{project_id: y, token_file: tenants.yaml}]", "it is no token of a key"),
        ("projects: [{id: prj_gwctl_apply, name: 2026-01-01}]", "holds what JSON cannot"),
    ):
        file.write_text(wrong)
        refused = gwctl("apply", str(file))
        assert (refused.code, refused.stdout) == (1, ""), wrong
        assert said in refused.stderr
        assert minted["token"] not in refused.stderr


def test_answers_are_csv_that_a_spreadsheet_does_not_run(gwctl: Gwctl) -> None:
    project = of(gwctl, "project", "create", "=1+2")["id"]
    told = gwctl("project", "list", "-o", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(told)))
    (row,) = [row for row in rows if row["id"] == project]
    assert row["name"] == "'=1+2"
    assert row["daily_tokens"] == ""


def test_organisations_are_apart(gwctl: Gwctl) -> None:
    other = of(gwctl, "organization", "create", "other")["id"]
    assert of(gwctl, "--organization", other, "project", "list") == []
    project = of(gwctl, "--organization", other, "project", "create", "theirs")["id"]
    assert project not in {row["id"] for row in of(gwctl, "project", "list")}
    assert other in {row["id"] for row in of(gwctl, "organization", "list")}


def test_costs_need_prices(gwctl: Gwctl) -> None:
    refused = gwctl("costs")
    assert refused.code == 1
    assert "GATEWAY_PRICES_FILE is not set" in refused.stderr


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("GATEWAY_ADMIN_KEY", "", "GATEWAY_ADMIN_KEY is not set"),
        ("GATEWAY_ADMIN_KEY", "gwa_wrong", "Incorrect API key provided"),
        ("GATEWAY_ADMIN_KEY", "caf\u00e9", "a key has no such characters"),
        ("GATEWAY_ADMIN_URL", "127.0.0.1:9443", "GATEWAY_ADMIN_URL is wrong"),
        (
            "GATEWAY_ADMIN_URL",
            "http://127.0.0.1:1",
            "The gateway at GATEWAY_ADMIN_URL is not there",
        ),
        ("GATEWAY_ADMIN_CA_FILE", "/nowhere", "GATEWAY_ADMIN_CA_FILE cannot be read"),
    ],
)
def test_what_is_wrong_in_the_environment_is_named(
    gwctl: Gwctl, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    refused = gwctl("project", "list")
    assert (refused.code, refused.stdout) == (1, "")
    assert said in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_another_server_is_not_taken_for_a_gateway(
    product: Product, gwctl: Gwctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_ADMIN_URL", product.ops_url)
    refused = gwctl("project", "list")
    assert "leads to something that is no admin API: it answered 404" in refused.stderr
