"""The Open Responses dialect: one header, and the same answer is spelled differently."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.stack.demo import Tenant
from tests.stack.product import Product

VERSION = "2026-04-24"


def answer(product: Product, tenant: Tenant, *, stream: bool) -> httpx.Response:
    return httpx.post(
        f"{product.url}/v1/responses",
        headers={"authorization": f"Bearer {tenant.key}", "OpenResponses-Version": VERSION},
        json={"model": "gpt-oss-120b", "input": "hi", "stream": stream},
        timeout=30,
    )


def test_the_object_is_a_response_and_the_header_comes_back(product: Product) -> None:
    whole = answer(product, product.new_project(), stream=False)
    assert whole.json()["object"] == "response"
    assert whole.headers["openresponses-version"] == VERSION


def test_raw_reasoning_has_that_dialects_names(product: Product) -> None:
    streamed = answer(product, product.new_project(), stream=True)
    events: list[dict[str, Any]] = [
        json.loads(line.removeprefix("data: "))
        for line in streamed.text.splitlines()
        if line.startswith("data: {")
    ]
    types = {event["type"] for event in events}
    assert {"response.reasoning.delta", "response.reasoning.done"} <= types
    assert not any("reasoning_text" in type_ for type_ in types)
    assert events[-1]["response"]["object"] == "response"
    assert streamed.headers["openresponses-version"] == VERSION
