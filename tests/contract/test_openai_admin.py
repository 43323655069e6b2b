"""OpenAI's own client of its organisation API, on ours: what was written for that works here.

Answers are validated against the client's types, which the client itself does loosely.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from openai import OpenAI
from openai._models import BaseModel

from tests.stack.demo import Tenant
from tests.stack.product import ADMIN_KEY, Product, running_product
from tests.system.http import create

Answer = TypeVar("Answer", bound=BaseModel)

PRICES = """
currency: eur
models:
  gpt-oss-120b: {input: "0.15", cached: "0.075", output: "0.60"}
"""


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """One that knows prices."""
    directory = tmp_path_factory.mktemp("admin")
    prices: Path = directory / "prices.yaml"
    prices.write_text(PRICES)
    with running_product(directory, gateway_env={"GATEWAY_PRICES_FILE": str(prices)}) as running:
        yield running


@pytest.fixture
def client(product: Product) -> Iterator[OpenAI]:
    with OpenAI(
        base_url=f"{product.admin_url}/v1", api_key="unused", admin_api_key=ADMIN_KEY
    ) as client:
        yield client


def checked(answer: Answer) -> Answer:
    """The answer, if its type holds it without exception."""
    type(answer).model_validate(answer.model_dump(by_alias=True, warnings="none"))
    return answer


def test_projects(client: OpenAI) -> None:
    projects = client.admin.organization.projects
    project = checked(projects.create(name="search"))
    assert checked(projects.retrieve(project.id)).name == "search"
    assert checked(projects.update(project.id, name="find")).name == "find"
    assert project.id in {checked(each).id for each in projects.list(limit=1)}
    assert checked(projects.archive(project.id)).status == "archived"
    assert project.id not in {each.id for each in projects.list()}
    assert project.id in {each.id for each in projects.list(include_archived=True)}


def test_service_accounts_and_their_keys(client: OpenAI, product: Product) -> None:
    projects = client.admin.organization.projects
    project = projects.create(name="search")
    account = checked(projects.service_accounts.create(project.id, name="crawler"))
    assert account.api_key is not None
    tenant = Tenant(project.id, account.api_key.value)
    assert create(product.url, tenant).status_code == 200
    (listed,) = projects.service_accounts.list(project.id)
    assert checked(listed).id == account.id
    (key,) = projects.api_keys.list(project.id)
    owner = checked(key).owner.service_account
    assert owner is not None
    assert owner.name == "crawler"
    assert checked(projects.api_keys.retrieve(key.id, project_id=project.id)).id == key.id
    assert checked(projects.api_keys.delete(key.id, project_id=project.id)).deleted
    assert create(product.url, tenant).status_code == 401
    deleted = projects.service_accounts.delete(account.id, project_id=project.id)
    assert checked(deleted).deleted


def test_rate_limits(client: OpenAI, product: Product) -> None:
    projects = client.admin.organization.projects
    project = projects.create(name="search")
    (limit,) = projects.rate_limits.list_rate_limits(project.id)
    changed = projects.rate_limits.update_rate_limit(
        limit.id,
        project_id=project.id,
        max_requests_per_1_minute=60,
        max_tokens_per_1_minute=90_000,
    )
    assert checked(changed).max_requests_per_1_minute == 60
    (limit,) = projects.rate_limits.list_rate_limits(project.id)
    assert checked(limit).max_tokens_per_1_minute == 90_000


def test_admin_keys(client: OpenAI, product: Product) -> None:
    user = product.admin("POST", "/admin/v1/users", json={"name": "anna"})["id"]
    keys = client.admin.organization.admin_api_keys
    created = keys.create(name="laptop", extra_body={"principal_id": user})
    assert created.value.startswith("gwa_")
    (listed,) = [each for each in keys.list() if each.id == created.id]
    assert checked(listed).owner.name == "anna"
    assert checked(keys.delete(created.id)).deleted


def test_usage_costs_and_the_audit_log(client: OpenAI, product: Product) -> None:
    organization = client.admin.organization
    project = organization.projects.create(name="search")
    account = organization.projects.service_accounts.create(project.id, name="crawler")
    assert account.api_key is not None
    usage = create(product.url, Tenant(project.id, account.api_key.value)).json()["usage"]
    since = int(time.time()) - 3600

    page = checked(
        organization.usage.completions(
            start_time=since,
            bucket_width="1h",
            project_ids=[project.id],
            user_ids=[account.id],
            group_by=["project_id", "user_id", "api_key_id", "model"],
        )
    )
    (result,) = [result for bucket in page.data for result in bucket.results]
    assert result.object == "organization.usage.completions.result"
    assert (result.project_id, result.user_id) == (project.id, account.id)
    assert (result.api_key_id, result.model) == (account.api_key.id, "gpt-oss-120b")
    assert result.input_tokens == usage["input_tokens"]
    assert result.output_tokens == usage["output_tokens"]
    nobody = organization.usage.completions(
        start_time=since, project_ids=[project.id], user_ids=["usr_nobody"]
    )
    assert [result for bucket in nobody.data for result in bucket.results] == []

    costs = checked(
        organization.usage.costs(
            start_time=since, project_ids=[project.id], group_by=["line_item", "project_id"]
        )
    )
    amounts = {
        result.line_item: result.amount.value
        for bucket in costs.data
        for result in bucket.results
        if result.object == "organization.costs.result" and result.amount is not None
    }
    assert amounts["gpt-oss-120b, output"] == pytest.approx(usage["output_tokens"] * 0.60 / 1e6)

    entries = list(
        organization.audit_logs.list(project_ids=[project.id], effective_at={"gte": since}, limit=1)
    )
    assert [entry.type for entry in entries] == ["service_account.created", "project.created"]
    assert all(checked(entry).actor is not None for entry in entries)
    assert not list(organization.audit_logs.list(effective_at={"lt": since}))
