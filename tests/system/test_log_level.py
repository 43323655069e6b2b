"""The log's level, changed while the gateway runs."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.stack.product import Product, running_product
from tests.system.http import create
from tests.system.waiting import wait_until


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with running_product(
        tmp_path_factory.mktemp("quiet"), gateway_env={"GATEWAY_LOG_LEVEL": "WARNING"}
    ) as product:
        yield product


def put(product: Product, **query: str | float) -> httpx.Response:
    return httpx.put(f"{product.ops_url}/log-level", params=query)


def test_it_is_turned_up_for_a_while_and_goes_back_by_itself(quiet: Product) -> None:
    tenant = quiet.new_project()

    def requests() -> int:
        return sum(line["msg"] == "request" for line in quiet.log_lines())

    create(quiet.url, tenant)
    assert put(quiet, level="info", seconds=2).text.startswith("INFO for ")
    create(quiet.url, tenant)
    wait_until(lambda: requests() == 1, "the second request was logged, and not the first")
    wait_until(lambda: httpx.get(f"{quiet.ops_url}/log-level").text == "WARNING\n", "it went back")
    levels = [line["msg"] for line in quiet.log_lines() if "log level" in line["msg"]]
    assert levels == ["the log level is INFO", "the log level is WARNING"]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"level": "LOUD"},
        {"level": "DEBUG", "seconds": "soon"},
        {"level": "DEBUG", "seconds": "nan"},
        {"level": "DEBUG", "seconds": "-1"},
        {"level": "DEBUG", "seconds": "1e9"},
    ],
)
def test_nonsense_changes_nothing_and_is_told_how(quiet: Product, query: dict[str, str]) -> None:
    answer = put(quiet, **query)
    assert answer.status_code == 400
    assert "PUT /log-level?level=DEBUG&seconds=600" in answer.text
    assert httpx.get(f"{quiet.ops_url}/log-level").text == "WARNING\n"


def test_changes_are_told_at_every_level(quiet: Product) -> None:
    tenant = quiet.new_project()
    wait_until(
        lambda: any(
            (line["logger"], line["type"]) == ("gateway.audit", "project.created")
            and line["target"] == tenant.project_id
            for line in quiet.log_lines()
            if line["msg"] == "audit"
        ),
        "the change is in the log",
    )


def test_tenants_cannot_reach_it(quiet: Product) -> None:
    assert httpx.put(f"{quiet.url}/log-level?level=DEBUG").status_code == 404
