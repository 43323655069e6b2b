"""The console, in a real browser, beside a running gateway: what an operator does, step by step.

With CONSOLE_SCREENSHOTS=<directory> it leaves pictures of every page there.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.stack.demo import Tenant
from tests.stack.product import ADMIN_KEY, Product
from tests.system.http import create

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="There is no Chromium on this machine (apt-get install chromium)."
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Root, as in a container, can have no sandbox; what is shown here is our own.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def troubles() -> list[str]:
    """What a page has complained of; empty at the end of every test."""
    return []


@pytest.fixture
def page(browser: Browser, product: Product, troubles: list[str]) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    page = context.new_page()
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "console",
        lambda said: (
            troubles.append(said.text)
            if said.type == "error" and "status of 4" not in said.text
            else None
        ),
    )
    page.on(
        "request",
        lambda asked: (
            None if asked.url.startswith(product.admin_url) else troubles.append(asked.url)
        ),
    )
    page.goto(f"{product.admin_url}/console")
    yield page
    context.close()
    assert troubles == []


def sign_in(page: Page, key: str = ADMIN_KEY) -> None:
    page.get_by_label("Admin key").fill(key)
    page.get_by_role("button", name="Sign in").click()


def shown(page: Page, name: str) -> None:
    directory = os.environ.get("CONSOLE_SCREENSHOTS")
    if directory:
        page.screenshot(path=Path(directory) / f"{name}.png", full_page=True)


def test_nobody_sees_anything_without_a_key(page: Page) -> None:
    expect(page.get_by_role("heading", name="Gateway console")).to_be_visible()
    shown(page, "1-sign-in")
    sign_in(page, "wrong")
    expect(page.get_by_role("alert")).to_contain_text("Incorrect API key provided")
    expect(page.get_by_role("heading", name="Projects")).to_have_count(0)


def test_a_tenant_is_set_up_used_and_shut_out(page: Page, product: Product) -> None:
    sign_in(page)
    expect(page.get_by_role("heading", name="Projects", exact=True)).to_be_visible()
    page.get_by_label("Name").fill("<b>search</b>")
    page.get_by_role("button", name="Create project").click()
    # Text stays text.
    expect(page.get_by_role("heading", name="<b>search</b>")).to_be_visible()
    project_id = page.url.split("/")[-2]

    page.get_by_label("Requests per minute").fill("600")
    page.get_by_label("Tokens per month", exact=True).fill("1000")
    page.get_by_role("button", name="Save limits").click()
    expect(page.get_by_text("Tokens per month: 0 of 1,000")).to_be_visible()
    shown(page, "2-limits")

    page.get_by_role("link", name="Keys").click()
    page.get_by_label("Name").fill("ci")
    page.get_by_role("button", name="Create key").click()
    dialog = page.get_by_role("dialog")
    token = dialog.get_by_text(re.compile("^gwk_")).text_content()
    assert token is not None
    shown(page, "3-token")
    dialog.get_by_role("button", name="I have stored it").click()
    expect(page.get_by_text(token)).to_have_count(0)
    tenant = Tenant(project_id, token)
    assert create(product.url, tenant, max_output_tokens=50).status_code == 200

    page.get_by_role("button", name="Rotate…").click()
    page.get_by_role("button", name="Make a new token").click()
    renewed = page.get_by_role("dialog").get_by_text(re.compile("^gwk_")).text_content()
    assert renewed is not None
    assert renewed != token
    page.get_by_role("button", name="I have stored it").click()
    for each in (token, renewed):
        assert (
            create(product.url, Tenant(project_id, each), max_output_tokens=50).status_code == 200
        )
    shown(page, "4-keys")

    # The chart keeps itself up to date.
    page.get_by_role("link", name="Usage").last.click()
    requests = page.locator(".tile", has_text="requests").first.locator("b")
    expect(requests).to_have_text("3")
    create(product.url, tenant, max_output_tokens=50)
    expect(requests).to_have_text("4", timeout=20_000)
    shown(page, "5-usage")

    page.get_by_role("link", name="Keys").click()
    page.get_by_role("button", name="Revoke…").click()
    page.get_by_role("button", name="Revoke key").click()
    expect(page.locator("td .state")).to_have_text("revoked")
    assert create(product.url, tenant).status_code == 401

    page.get_by_role("button", name="Archive…").click()
    page.get_by_role("button", name="Archive project").click()
    expect(page.get_by_text("Its keys are refused.")).to_be_visible()
    shown(page, "6-archived")
    page.get_by_role("button", name="Restore…").click()
    page.get_by_role("button", name="Restore project").click()
    expect(page.get_by_role("button", name="Archive…")).to_be_visible()


def test_a_mistake_is_told_where_it_was_made(page: Page) -> None:
    sign_in(page)
    page.get_by_label("Name").fill("limits")
    page.get_by_role("button", name="Create project").click()
    page.get_by_label("Tokens per day", exact=True).fill("99999999999999999")
    page.get_by_role("button", name="Save limits").click()
    expect(page.get_by_text("expected a value <=").first).to_be_visible()
    shown(page, "7-mistake")


def test_everybodys_usage_and_all_changes_are_seen(page: Page, product: Product) -> None:
    tenant = product.new_project()
    assert create(product.url, tenant).status_code == 200
    sign_in(page)
    navigation = page.get_by_role("navigation").first
    navigation.get_by_role("link", name="Usage").click()
    expect(page.get_by_role("heading", name="By project, last 30 days")).to_be_visible()
    expect(page.get_by_role("table").last).to_contain_text("test")
    shown(page, "8-all-usage")
    navigation.get_by_role("link", name=re.compile("Audit")).click()
    expect(page.get_by_text("api_key.created").first).to_be_visible()
    shown(page, "9-audit")


def test_a_key_that_may_read_one_project_sees_that_and_nothing_else(
    page: Page, product: Product
) -> None:
    mine, theirs = product.new_project(), product.new_project()
    user = product.admin("POST", "/admin/v1/users", json={"name": "anna"})["id"]
    rule = {"permission_sets": ["UsageReadOnly"], "project_ids": [mine.project_id]}
    body = {"name": "readers", "principal_ids": [user], "rules": [rule]}
    product.admin("POST", "/admin/v1/policies", json=body)
    body = {"principal_id": user}
    key = product.admin("POST", "/v1/organization/admin_api_keys", json=body)["value"]
    sign_in(page, key)
    expect(page.get_by_text(mine.project_id)).to_be_visible()
    expect(page.get_by_text(theirs.project_id)).to_have_count(0)
    page.get_by_label("Name").fill("mine too")
    page.get_by_role("button", name="Create project").click()
    expect(page.get_by_text("You may not do this here").first).to_be_visible()
    shown(page, "10-may-not")


def test_a_key_that_is_taken_away_signs_out(page: Page, product: Product) -> None:
    user = product.admin("POST", "/admin/v1/users", json={"name": "anna"})["id"]
    rule = {"permission_sets": ["UsageReadOnly"], "organization_id": "org_default"}
    body = {"name": "readers", "principal_ids": [user], "rules": [rule]}
    product.admin("POST", "/admin/v1/policies", json=body)
    key = product.admin("POST", "/v1/organization/admin_api_keys", json={"principal_id": user})
    sign_in(page, key["value"])
    expect(page.get_by_role("heading", name="Projects", exact=True)).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Projects", exact=True)).to_be_visible()
    product.admin("DELETE", f"/v1/organization/admin_api_keys/{key['id']}")
    page.get_by_role("navigation").first.get_by_role("link", name="Usage").click()
    expect(page.get_by_role("heading", name="Gateway console")).to_be_visible()


def test_it_can_be_read_on_a_telephone_and_in_the_dark(browser: Browser, product: Product) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark")
    page = context.new_page()
    page.goto(f"{product.admin_url}/console/")
    sign_in(page)
    expect(page.get_by_role("heading", name="Projects", exact=True)).to_be_visible()
    width = page.evaluate("document.documentElement.scrollWidth")
    shown(page, "11-telephone")
    context.close()
    assert width <= 390
