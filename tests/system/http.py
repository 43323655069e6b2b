"""Requests as a tenant's program sends them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.stack.demo import Tenant

MODEL = "gpt-oss-120b"

Event = dict[str, Any]


def create(url: str, tenant: Tenant, **fields: Any) -> httpx.Response:
    return httpx.post(
        f"{url}/v1/responses",
        headers={"authorization": f"Bearer {tenant.key}"},
        json={"model": MODEL, "input": "Hello", **fields},
        timeout=30,
    )


def complete(url: str, tenant: Tenant, **fields: Any) -> httpx.Response:
    """The completion of a chat; with `stream` all of its chunks."""
    return httpx.post(
        f"{url}/v1/chat/completions",
        headers={"authorization": f"Bearer {tenant.key}"},
        json={"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], **fields},
        timeout=30,
    )


@contextmanager
def streamed(url: str, tenant: Tenant, **fields: Any) -> Iterator[Iterator[Event]]:
    """The events of a streamed response, as they come."""
    with httpx.stream(
        "POST",
        f"{url}/v1/responses",
        headers={"authorization": f"Bearer {tenant.key}"},
        json={"model": MODEL, "input": "Hello", "stream": True, **fields},
        timeout=30,
    ) as answer:
        assert answer.status_code == 200, answer.read()
        yield _events(answer)


def _events(answer: httpx.Response) -> Iterator[Event]:
    for line in answer.iter_lines():
        if line.startswith("data: {"):
            yield json.loads(line.removeprefix("data: "))


def simulate(**directive: Any) -> str:
    """An input that tells the simulator how to behave."""
    return f"SIM: {json.dumps(directive)}"
