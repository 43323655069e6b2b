"""The admin API over HTTP, beside the tenant API of the same running gateway."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from gateway.asgi.admin import admin_api
from gateway.iam.api_key import ENTROPY_BYTES, mint
from tests.stack.demo import Tenant
from tests.stack.product import ADMIN_KEY, Product
from tests.system.http import create
from tests.system.waiting import wait_until

ORGANISATION = "/v1/organization"
Json = dict[str, Any]


class Admin:
    """Answers' JSON, or what was refused."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.headers = url, {"authorization": f"Bearer {key}"}

    def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> httpx.Response:
        sent = {**self.headers, **(headers or {})}
        return httpx.request(method, f"{self.url}{path}", headers=sent, timeout=30, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def told(self, method: str, path: str, **options: Any) -> Json:
        answer = self.request(method, path, **options)
        assert answer.status_code == 200, answer.text
        told: Json = answer.json()
        return told

    def refused(self, method: str, path: str, **options: Any) -> tuple[int, str, str | None]:
        answer = self.request(method, path, **options)
        error = answer.json()["error"]
        return answer.status_code, error["code"], error["param"]

    def project(self, **fields: Any) -> str:
        created = self.told("POST", f"{ORGANISATION}/projects", json={"name": "a", **fields})
        return str(created["id"])

    def key(self, project_id: str, **fields: Any) -> Json:
        return self.told("POST", f"{ORGANISATION}/projects/{project_id}/api_keys", json=fields)

    def administrator(self, *permission_sets: str, **scope: Any) -> Admin:
        """Somebody who may do what these sets give, in all of the organisation or in *scope*."""
        principal = self.told("POST", "/admin/v1/users", json={"name": "somebody"})["id"]
        rule = {
            "permission_sets": list(permission_sets),
            **(scope or {"organization_id": "org_default"}),
        }
        self.told(
            "POST",
            "/admin/v1/policies",
            json={"name": "theirs", "principal_ids": [principal], "rules": [rule]},
        )
        key = self.told(
            "POST", f"{ORGANISATION}/admin_api_keys", json={"name": "", "principal_id": principal}
        )
        return Admin(self.url, key["value"])


@pytest.fixture
def admin(product: Product) -> Admin:
    return Admin(product.admin_url, ADMIN_KEY)


def test_a_project_is_created_limited_used_renamed_archived_and_restored(
    product: Product, admin: Admin
) -> None:
    project_id = admin.project(limits={"requests_per_minute": 60})
    path = f"{ORGANISATION}/projects/{project_id}"
    key = admin.key(project_id, name="ci")
    tenant = Tenant(project_id, key["value"])
    assert create(product.url, tenant).headers["x-ratelimit-limit-requests"] == "60"

    changed = admin.told("POST", f"{path}/limits", json={"requests_per_minute": None})
    assert changed["limits"]["requests_per_minute"] is None
    assert "x-ratelimit-limit-requests" not in create(product.url, tenant).headers

    assert admin.told("POST", path, json={"name": "b"})["name"] == "b"
    archived = admin.told("POST", f"{path}/archive")
    assert archived["status"] == "archived"
    assert archived["archived_at"] >= archived["created_at"]
    assert create(product.url, tenant).status_code == 403
    listed = admin.told("GET", f"{ORGANISATION}/projects", params={"limit": 100})["data"]
    assert project_id not in {each["id"] for each in listed}
    assert admin.told("POST", f"{path}/restore")["archived_at"] is None

    def served() -> bool:
        return create(product.url, tenant).status_code == 200

    wait_until(served, "the project is served again")


def test_openais_rate_limits_are_two_of_ours(admin: Admin) -> None:
    project_id = admin.project()
    path = f"{ORGANISATION}/projects/{project_id}/rate_limits"
    (limit,) = admin.told("GET", path)["data"]
    assert limit["object"] == "project.rate_limit"
    wanted = {"max_requests_per_1_minute": 7, "max_tokens_per_1_minute": 9000}
    assert wanted.items() <= admin.told("POST", f"{path}/{limit['id']}", json=wanted).items()
    told = admin.told("GET", f"{ORGANISATION}/projects/{project_id}/limits")["limits"]
    assert (told["requests_per_minute"], told["tokens_per_minute"]) == (7, 9000)


def test_lists_come_in_pages(admin: Admin) -> None:
    project_id = admin.project()
    kids = [admin.key(project_id, name=str(n))["id"] for n in range(5)]
    path = f"{ORGANISATION}/projects/{project_id}/api_keys"
    seen: list[str] = []
    page = admin.told("GET", path, params={"limit": 2})
    while True:
        seen += [each["id"] for each in page["data"]]
        assert page["last_id"] == seen[-1]
        if not page["has_more"]:
            break
        page = admin.told("GET", path, params={"limit": 2, "after": page["last_id"]})
    assert sorted(seen) == sorted(kids)
    assert admin.refused("GET", path, params={"after": "none"}) == (400, "invalid_value", "after")


def test_a_key_is_rotated_with_two_secrets_and_revoked_for_its_next_request(
    product: Product, admin: Admin
) -> None:
    project_id = admin.project()
    path = f"{ORGANISATION}/projects/{project_id}/api_keys"
    first = admin.key(project_id)
    assert first["value"] not in admin.get(path).text
    second = admin.told("POST", f"{path}/{first['id']}/rotate", json={"overlap_seconds": 600})
    assert second["id"] == first["id"]
    assert second["previous_secret_until"] > time.time()
    for token in (first["value"], second["value"]):
        assert create(product.url, Tenant(project_id, token)).status_code == 200
    third = admin.told("POST", f"{path}/{first['id']}/rotate", json={"overlap_seconds": 0})
    statuses = [
        create(product.url, Tenant(project_id, each["value"])).status_code
        for each in (first, second, third)
    ]
    assert statuses == [401, 401, 200]

    deleted = admin.told("DELETE", f"{path}/{first['id']}")
    assert deleted == {
        "object": "organization.project.api_key.deleted",
        "id": first["id"],
        "deleted": True,
    }
    assert create(product.url, Tenant(project_id, third["value"])).status_code == 401
    assert admin.told("GET", f"{path}/{first['id']}")["status"] == "revoked"
    assert admin.refused("POST", f"{path}/{first['id']}/rotate")[:2] == (409, "revoked_key")


def test_a_key_has_limits_addresses_and_an_end_of_its_own(product: Product, admin: Admin) -> None:
    project_id = admin.project()
    key = admin.key(project_id, source_cidrs=["192.0.2.0/24"])
    assert create(product.url, Tenant(project_id, key["value"])).status_code == 401
    key = admin.key(project_id, limits={"requests_per_minute": 1})
    tenant = Tenant(project_id, key["value"])
    assert [create(product.url, tenant).status_code for _ in range(2)] == [200, 429]
    path = f"{ORGANISATION}/projects/{project_id}/api_keys"
    admin.told("POST", f"{path}/{key['id']}/limits", json={"requests_per_minute": None})
    assert create(product.url, tenant).status_code == 200
    past = {"expires_at": int(time.time()) - 1}
    assert admin.refused("POST", path, json=past) == (400, "invalid_value", "expires_at")
    wrong = {"source_cidrs": ["here"]}
    assert admin.refused("POST", path, json=wrong) == (400, "invalid_value", "source_cidrs")
    # What was refused is not in the log as if it had been made.
    logged = admin.told(
        "GET",
        f"{ORGANISATION}/audit_logs",
        params={"project_ids": project_id, "event_types": "api_key.created"},
    )
    assert len(logged["data"]) == 2


def test_a_service_account_is_an_application_with_a_key(product: Product, admin: Admin) -> None:
    project_id = admin.project()
    path = f"{ORGANISATION}/projects/{project_id}/service_accounts"
    account = admin.told("POST", path, json={"name": "crawler"})
    tenant = Tenant(project_id, account["api_key"]["value"])
    assert create(product.url, tenant).status_code == 200
    assert [each["id"] for each in admin.told("GET", path)["data"]] == [account["id"]]
    assert admin.told("DELETE", f"{path}/{account['id']}")["deleted"] is True
    assert create(product.url, tenant).status_code == 401
    assert admin.told("GET", path)["data"] == []


def test_usage_is_told_as_openai_does_and_sums_up_to_the_ledger(
    product: Product, admin: Admin
) -> None:
    project_id, other_id = admin.project(), admin.project()
    keys = [admin.key(project_id), admin.key(project_id), admin.key(other_id)]
    for key in keys:
        for _ in range(3):
            assert create(product.url, Tenant("", key["value"])).status_code == 200

    def settled() -> bool:
        asked = {"project_id": project_id}
        return not admin.told("GET", "/admin/v1/leases", params=asked)["data"]

    wait_until(settled, "all is settled")
    entries = admin.told("GET", f"{ORGANISATION}/projects/{project_id}/ledger")["data"]
    of_ledger = {
        name: sum(entry[name] for entry in entries) for name in ("input_tokens", "output_tokens")
    }
    assert len(entries) == 6

    def results(**asked: Any) -> list[Json]:
        start = int(datetime.now(UTC).timestamp()) - 3600
        path = f"{ORGANISATION}/usage/completions"
        page = admin.told("GET", path, params={"start_time": start, **asked})
        return [result for bucket in page["data"] for result in bucket["results"]]

    for width, limit in (("1m", 62), ("1h", 2), ("1d", 2)):
        told = results(bucket_width=width, limit=limit, project_ids=project_id)
        assert {name: sum(each[name] for each in told) for name in of_ledger} == of_ledger
        assert sum(each["num_model_requests"] for each in told) == 6
        assert all(each["project_id"] is None for each in told)
    grouped = results(
        bucket_width="1d",
        **{"project_ids[]": [project_id, other_id], "group_by[]": ["project_id", "api_key_id"]},
    )
    assert {(each["project_id"], each["api_key_id"]) for each in grouped} == {
        (project_id, keys[0]["id"]),
        (project_id, keys[1]["id"]),
        (other_id, keys[2]["id"]),
    }
    assert results(bucket_width="1d", project_ids=project_id, models="another") == []


def test_usage_comes_in_pages_of_buckets(admin: Admin) -> None:
    project_id = admin.project()
    path = f"{ORGANISATION}/usage/completions"
    asked = {"start_time": 1_795_305_600, "end_time": 1_795_305_600 + 5 * 86_400}
    page = admin.told("GET", path, params={**asked, "limit": 2, "project_ids": project_id})
    starts = [bucket["start_time"] for bucket in page["data"]]
    while page["has_more"]:
        page = admin.told("GET", path, params={**asked, "limit": 2, "page": page["next_page"]})
        starts += [bucket["start_time"] for bucket in page["data"]]
    assert starts == [1_795_305_600 + n * 86_400 for n in range(5)]
    for wrong, param in (
        ({}, "start_time"),
        ({**asked, "limit": 32}, "limit"),
        ({**asked, "bucket_width": "1y"}, "bucket_width"),
        ({**asked, "group_by": "weather"}, "group_by"),
        ({**asked, "page": "page_!"}, "page"),
        ({**asked, "end_time": 1}, "end_time"),
    ):
        assert admin.refused("GET", path, params=wrong)[::2] == (400, param)


def test_tenants_see_their_limits_and_what_they_have_used(product: Product, admin: Admin) -> None:
    project_id = admin.project(limits={"monthly_tokens": 1_000_000})
    mine, theirs = admin.key(project_id), admin.key(project_id)
    for key in (mine, theirs):
        assert create(product.url, Tenant(project_id, key["value"])).status_code == 200

    def asked(path: str, token: str) -> Json:
        headers = {"authorization": f"Bearer {token}"}
        answer = httpx.get(f"{product.url}{path}", headers=headers)
        assert answer.status_code == 200, answer.text
        told: Json = answer.json()
        return told

    limits = asked("/v1/limits", mine["value"])
    assert limits["project"]["limits"]["monthly_tokens"] == 1_000_000
    assert limits["project"]["used"]["monthly_tokens"] > 0
    assert limits["api_key"]["id"] == mine["id"]
    assert asked(f"/{project_id}/v1/limits", mine["value"])["project"] == limits["project"]

    path = f"/v1/usage?start_time={int(time.time()) - 86_400}&limit=2"
    own = asked(path, mine["value"])
    assert own["scope"] == "api_key"
    assert _requests(own) == 1
    principal = admin.told("GET", f"{ORGANISATION}/projects/{project_id}/api_keys/{mine['id']}")
    rule = {"permission_sets": ["UsageReadOnly"], "project_ids": [project_id]}
    owner = principal["owner"]["service_account"]["id"]
    admin.told(
        "POST",
        "/admin/v1/policies",
        json={"name": "usage", "principal_ids": [owner], "rules": [rule]},
    )

    # What was denied a moment ago is asked for again after a while.
    def whole() -> bool:
        return bool(asked(path, mine["value"])["scope"] == "project")

    wait_until(whole, "the policy lets it see all of the project's usage")
    assert _requests(asked(path, mine["value"])) == 2


def _requests(page: Json) -> int:
    return sum(
        result["num_model_requests"] for bucket in page["data"] for result in bucket["results"]
    )


def test_what_was_changed_is_in_the_audit_log_and_no_secret_is(
    product: Product, admin: Admin
) -> None:
    project_id = admin.project()
    key = admin.key(project_id, name="ci")
    admin.told("POST", f"{ORGANISATION}/projects/{project_id}/limits", json={"daily_tokens": 5})
    admin.told("DELETE", f"{ORGANISATION}/projects/{project_id}/api_keys/{key['id']}")
    path = f"{ORGANISATION}/audit_logs"
    page = admin.get(path, params={"project_ids[]": project_id})
    entries = page.json()["data"]
    assert [(each["type"], each["target"]["id"]) for each in entries] == [
        ("api_key.deleted", key["id"]),
        ("rate_limit.updated", project_id),
        ("api_key.created", key["id"]),
        ("project.created", project_id),
    ]
    assert (entries[1]["before"], entries[1]["after"]) == (
        {"daily_tokens": None},
        {"daily_tokens": 5},
    )
    assert entries[0]["actor"]["api_key"]["id"] == "bootstrap"
    assert entries[0]["actor"]["ip_address"] == "127.0.0.1"
    assert key["value"].split("_")[2] not in page.text
    first = admin.told("GET", path, params={"project_ids": project_id, "limit": 3})
    rest = admin.told("GET", path, params={"project_ids": project_id, "after": first["last_id"]})
    assert [each["id"] for each in first["data"] + rest["data"]] == [each["id"] for each in entries]
    assert admin.told("GET", f"{path}/verify")["intact"] is True
    hashes = {line.get("hash") for line in product.log_lines()}
    assert {each["hash"] for each in entries} <= hashes


def test_policies_are_written_explained_and_taken_back(product: Product, admin: Admin) -> None:
    mine, theirs = admin.project(), admin.project()
    principal = admin.told("POST", "/admin/v1/applications", json={"name": "ci"})["id"]
    rule = {
        "permission_sets": ["GenerativeApisModelAccess"],
        "project_ids": [mine],
        "conditions": {"models": ["gpt-oss-120b"]},
    }
    policy = admin.told(
        "POST",
        "/admin/v1/policies",
        json={"name": "ci", "principal_ids": [principal], "rules": [rule]},
    )
    key = admin.key(mine, principal_id=principal)
    tenant = Tenant(mine, key["value"])
    assert create(product.url, tenant).status_code == 200

    def explained(**asked: Any) -> Json:
        body = {"permission": "model:use", "principal_id": principal, **asked}
        return admin.told("POST", "/admin/v1/policies/explain", json=body)

    assert explained(project_id=mine)["policy_id"] == policy["id"]
    denied = explained(project_id=theirs)
    assert denied["allowed"] is False
    assert denied["reasons"] == [f"{policy['id']}, rule 1: its scope is {mine}"]
    urgent = explained(project_id=mine, tier="priority")
    assert urgent["reasons"] == [
        f"{policy['id']}, rule 1: the tier priority is not one of default, flex"
    ]
    other = explained(project_id=mine, model="another")
    assert other["reasons"] == [f"{policy['id']}, rule 1: the model is not one of gpt-oss-120b"]

    admin.told("DELETE", f"/admin/v1/policies/{policy['id']}")
    assert create(product.url, tenant).status_code == 403
    wrong = {"name": "", "principal_ids": [], "rules": [{"permission_sets": ["Everything"]}]}
    path = "/admin/v1/policies"
    assert admin.refused("POST", path, json=wrong)[:2] == (400, "empty_string")
    wrong["name"] = "x"
    assert admin.refused("POST", path, json=wrong) == (400, "invalid_value", "rules[0]")
    foreign = {**rule, "project_ids": ["prj_nobodys_project"]}
    body = {"name": "x", "principal_ids": [principal], "rules": [foreign]}
    assert admin.refused("POST", path, json=body) == (404, "no_such_object", "rules")


def test_what_a_file_declares_is_made_once_and_cannot_be_edited(
    product: Product, admin: Admin
) -> None:
    token = mint(bytes(range(ENTROPY_BYTES))).token
    document: Json = {
        "projects": [
            {"id": "prj_declared_1", "name": "a", "limits": {"requests_per_minute": 60}},
        ],
        "applications": [{"id": "app_declared", "name": "ci"}],
        "policies": [
            {
                "id": "pol_declared",
                "name": "ci",
                "principal_ids": ["app_declared"],
                "rules": [
                    {
                        "permission_sets": ["GenerativeApisModelAccess"],
                        "project_ids": ["prj_declared_1"],
                    }
                ],
            }
        ],
        "keys": [
            {"token": token, "project_id": "prj_declared_1", "principal_id": "app_declared"},
        ],
    }

    def applied(**options: Any) -> list[tuple[str, str]]:
        told = admin.told("POST", "/admin/v1/apply", json={"document": document, **options})
        return [(step["action"], step["kind"]) for step in told["steps"]]

    kinds = ["project", "application", "policy", "api_key"]
    assert applied(dry_run=True) == [("create", kind) for kind in kinds]
    path = f"{ORGANISATION}/projects/prj_declared_1"
    assert admin.refused("GET", path)[:2] == (404, "no_such_object")
    assert applied() == [("create", kind) for kind in kinds]
    assert applied() == [("unchanged", kind) for kind in kinds]
    tenant = Tenant("prj_declared_1", token)
    assert create(product.url, tenant).headers["x-ratelimit-limit-requests"] == "60"

    kid = token.split("_")[1]
    for method, edited, body in (
        ("POST", path, {"name": "b"}),
        ("POST", f"{path}/archive", None),
        ("POST", f"{path}/limits", {"requests_per_minute": 1}),
        ("POST", f"{path}/api_keys/{kid}/rotate", None),
        ("DELETE", f"{path}/api_keys/{kid}", None),
        ("DELETE", "/admin/v1/applications/app_declared", None),
        ("DELETE", "/admin/v1/policies/pol_declared", None),
    ):
        assert admin.refused(method, edited, json=body)[:2] == (409, "managed_object"), edited

    document["projects"][0]["limits"] = {"requests_per_minute": 30}
    assert applied() == [("update", "project"), *(("unchanged", kind) for kind in kinds[1:])]
    assert create(product.url, tenant).headers["x-ratelimit-limit-requests"] == "30"
    document = {}
    left = ["api_key", "policy", "application", "project"]
    assert applied() == [("undeclared", kind) for kind in left]
    assert applied(prune=True) == list(
        zip(["revoke", "delete", "delete", "archive"], left, strict=True)
    )
    assert create(product.url, tenant).status_code in (401, 403)
    document = {"keys": [{"token": token, "project_id": "prj_declared_1"}]}
    again = admin.refused("POST", "/admin/v1/apply", json={"document": document})
    assert again[:2] == (409, "cannot_declare")


def test_administrators_may_do_what_their_policies_say_and_no_more(admin: Admin) -> None:
    mine, theirs = admin.project(), admin.project()
    key = admin.key(theirs)
    reader = admin.administrator("UsageReadOnly", project_ids=[mine])
    usage = f"{ORGANISATION}/usage/completions?start_time={int(time.time())}"
    assert reader.told("GET", f"{usage}&project_ids={mine}")["object"] == "page"
    assert [each["id"] for each in reader.told("GET", f"{ORGANISATION}/projects")["data"]] == [mine]
    for method, path in (
        ("GET", f"{usage}&project_ids={theirs}"),
        ("GET", f"{usage}&project_ids=prj_nobodys_project"),
        ("GET", f"{ORGANISATION}/projects/{theirs}"),
        ("GET", f"{ORGANISATION}/projects/prj_nobodys_project"),
        ("GET", f"{ORGANISATION}/projects/{theirs}/api_keys/{key['id']}"),
        ("GET", f"{ORGANISATION}/projects/{mine}/api_keys"),
        ("POST", f"{ORGANISATION}/projects/{mine}/limits"),
        ("POST", f"{ORGANISATION}/projects"),
        ("POST", "/admin/v1/apply"),
        ("GET", f"{ORGANISATION}/audit_logs"),
        ("GET", "/admin/v1/books"),
    ):
        assert reader.refused(method, path) == (403, "permission_denied", None), path


def test_who_manages_one_project_cannot_get_a_key_to_another(admin: Admin) -> None:
    mine, theirs = admin.project(), admin.project()
    manager = admin.administrator("IAMManager", project_ids=[mine])
    assert manager.key(mine)["value"].startswith("gwk_")
    powerful = admin.told("POST", "/admin/v1/applications", json={"name": "all"})["id"]
    rule = {"permission_sets": ["AllProductsFullAccess"], "project_ids": [mine, theirs]}
    admin.told(
        "POST",
        "/admin/v1/policies",
        json={"name": "", "principal_ids": [powerful], "rules": [rule]} | {"name": "all of them"},
    )
    path = f"{ORGANISATION}/projects/{mine}/api_keys"
    body = {"principal_id": powerful}
    assert manager.refused("POST", path, json=body)[:2] == (403, "permission_denied")
    key = admin.key(mine, principal_id=powerful)
    assert manager.refused("POST", f"{path}/{key['id']}/rotate")[:2] == (403, "permission_denied")
    assert manager.told("POST", f"{path}/{key['id']}/revoke")["status"] == "revoked"


def test_an_organisation_is_not_seen_from_another(product: Product, admin: Admin) -> None:
    other = admin.told("POST", "/admin/v1/organizations", json={"name": "other"})["id"]
    logged = admin.told("GET", f"{ORGANISATION}/audit_logs", params={"resource_ids": other})
    assert [entry["type"] for entry in logged["data"]] == ["organization.created"]
    theirs = Admin(product.admin_url, ADMIN_KEY)
    theirs.headers["openai-organization"] = other
    their_project = theirs.project()
    assert admin.refused("GET", f"{ORGANISATION}/projects/{their_project}")[:2] == (
        404,
        "no_such_object",
    )
    mine = admin.administrator("IAMManager", "ProjectManager")
    assert mine.refused(
        "GET", f"{ORGANISATION}/projects", headers={"openai-organization": other}
    ) == (403, "permission_denied", None)
    assert mine.refused("POST", "/admin/v1/organizations", json={"name": "x"})[0] == 403


def every_path() -> list[tuple[str, str]]:
    """All that are served; with ids that could be."""
    app = admin_api.admin_api(*[_Anything()] * 12)  # type: ignore[arg-type]
    routes = app._app.routes  # type: ignore[attr-defined]
    ids = {
        "{project_id}": "prj_nobodys_project",
        "{kid}": "a" * 16,
        "{principal_id}": "app_x",
        "{policy_id}": "pol_x",
        "{rate_limit_id}": "rl-x",
    }
    found = []
    for route in routes:
        path = route.path
        for name, value in ids.items():
            path = path.replace(name, value)
        if not path.startswith("/console"):
            found += [(method, path) for method in route.methods - {"HEAD"}]
    return found


class _Anything:
    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self) -> Any:
        return self


def test_no_path_is_served_without_an_admin_key_and_none_of_them_to_tenants(
    product: Product,
) -> None:
    """A key of the one kind is nothing on the other port, whatever it may do there."""
    paths = every_path()
    assert len(paths) > 50
    tenant = product.new_project()
    with httpx.Client() as client:
        for method, path in paths:
            for headers in (
                {},
                {"authorization": "Bearer x"},
                {"authorization": f"Bearer {tenant.key}"},
                {"authorization": f"Bearer {ADMIN_KEY[:-1]}"},
            ):
                answer = client.request(method, f"{product.admin_url}{path}", headers=headers)
                assert answer.status_code in (401, 429), (method, path)
            for token in (tenant.key, ADMIN_KEY):
                headers = {"authorization": f"Bearer {token}"}
                for prefix in ("", f"/{tenant.project_id}"):
                    url = f"{product.url}{prefix}{path}"
                    assert client.request(method, url, headers=headers).status_code == 404, path
        assert client.get(f"{product.url}/console/").status_code == 404
        for path in ("/v1/models", "/v1/responses", "/metrics"):
            assert client.get(f"{product.admin_url}{path}").status_code == 404


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ("[]", "invalid_type", None),
        ("{", "invalid_json", None),
        ("{}", "missing_required_parameter", "name"),
        ('{"name": 5}', "invalid_type", "name"),
        ('{"name": ""}', "empty_string", "name"),
        ('{"name": "a", "limts": {}}', "unknown_parameter", "limts"),
        ('{"name": "a", "limits": {"rpm": 5}}', "unknown_parameter", "limits.rpm"),
        (
            '{"name": "a", "limits": {"daily_tokens": 0}}',
            "integer_below_min_value",
            "limits.daily_tokens",
        ),
        ('{"name": "a", "limits": {"daily_mode": "x"}}', "invalid_value", "limits.daily_mode"),
        ('{"name": "a", "id": "p}:x"}', "invalid_value", "id"),
    ],
)
def test_what_is_wrong_is_named(admin: Admin, body: str, code: str, param: str | None) -> None:
    answer = admin.request("POST", f"{ORGANISATION}/projects", content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code), answer.text
    assert answer.json()["error"]["param"] == param


def test_ids_are_taken_once(admin: Admin) -> None:
    admin.project(id="prj_taken_once")
    path = f"{ORGANISATION}/projects"
    body = {"name": "b", "id": "prj_taken_once"}
    assert admin.refused("POST", path, json=body) == (409, "already_exists", "id")
    large = {"name": "b", "id": "x" * 2_000_000}
    assert admin.refused("POST", path, json=large)[:2] == (413, "request_too_large")
