"""A word that only a tenant knows is said in every place where a request can say it.

Afterwards it must not be in any log, trace or metric, nor in Redis, with everything turned up.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from redis import Redis

from tests.observability.collector import Collector, running_collector
from tests.observability.test_traces import TRITON_FLAGS
from tests.stack.demo import Tenant
from tests.stack.product import Product, running_product
from tests.system.http import MODEL, simulate
from tests.system.waiting import wait_until

# Of letters alone, so that it may be a function's name, or a part of a token.
CANARY = "zq" + "".join(secrets.choice("bcdfghjkmnpqrstvwxz") for _ in range(20))


@pytest.fixture(scope="module")
def watched(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Product, Collector]]:
    """Everything is traced, and everything is logged."""
    with (
        running_collector() as collector,
        running_product(
            tmp_path_factory.mktemp("canary"),
            worker_flags=(*TRITON_FLAGS, f"--trace-config=opentelemetry,url={collector.url}"),
            gateway_env={
                "GATEWAY_TRACES_URL": collector.url,
                "GATEWAY_TRACES_SHARE": "1",
                "GATEWAY_LOG_LEVEL": "DEBUG",
                "GATEWAY_MAX_BODY_BYTES": "65536",
                "OTEL_BSP_SCHEDULE_DELAY": "50",
            },
        ) as product,
    ):
        yield product, collector


FUNCTION = {
    "type": "function",
    "name": CANARY,
    "description": CANARY,
    "parameters": {
        "type": "object",
        "properties": {CANARY: {"enum": [CANARY]}},
        "required": [CANARY],
        "additionalProperties": False,
    },
    "strict": True,
}
SCHEMA = {"type": "json_schema", "name": CANARY, "schema": FUNCTION["parameters"], "strict": True}
CALL = {"type": "function_call", "call_id": CANARY, "name": CANARY, "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": CANARY, "output": CANARY}

SERVED: list[dict[str, Any]] = [
    {"input": CANARY, "instructions": CANARY, "metadata": {CANARY: CANARY}},
    {"input": CANARY, "user": CANARY, "prompt_cache_key": CANARY, "safety_identifier": CANARY},
    {"input": simulate(text=CANARY, reasoning=CANARY), "include": ["reasoning.encrypted_content"]},
    {"input": [{"role": "user", "content": CANARY}, CALL, RESULT], "tools": [FUNCTION]},
    {"input": "x", "text": {"format": SCHEMA}, "max_output_tokens": 200},
    {"input": simulate(raw=f"<|channel|>{CANARY}<|message|>{CANARY}<|return|>")},
]
REFUSED: list[dict[str, Any]] = [
    {"input": CANARY, "temperature": CANARY},
    {"input": CANARY, CANARY: CANARY},
    {"input": [{"type": CANARY, "content": CANARY}]},
    {"input": CANARY, "model": CANARY},
    {"input": CANARY * 2000},
    {
        "input": CANARY,
        "max_output_tokens": 5,
        "text": {"format": {**SCHEMA, "schema": {"type": CANARY}}},
    },
    {"input": CANARY, "tools": [{**FUNCTION, "parameters": {"$ref": f"#/{CANARY}"}}]},
    {"input": f"{simulate(text=CANARY, fail_after=2)}\n{CANARY}"},
    {"input": f"{simulate(fail_after=0)}\n{CANARY}"},
]


def post(product: Product, tenant: Tenant, body: bytes, **headers: str) -> httpx.Response:
    return httpx.post(
        f"{product.url}/v1/responses",
        headers={"authorization": f"Bearer {tenant.key}", **headers},
        content=body,
        timeout=60,
    )


def test_what_a_tenant_says_is_nowhere_but_in_its_answer(
    watched: tuple[Product, Collector],
) -> None:
    product, collector = watched
    tenant = product.new_project()
    for fields in SERVED:
        for stream in (False, True):
            body = json.dumps({"model": MODEL, "stream": stream, **fields}).encode()
            assert post(product, tenant, body).status_code == 200, fields
    for fields in REFUSED:
        for stream in (False, True):
            body = json.dumps({"model": MODEL, "stream": stream, **fields}).encode()
            post(product, tenant, body)
    for body in (CANARY.encode(), b'{"input": "' + CANARY.encode(), b"\xff" + CANARY.encode()):
        assert post(product, tenant, body).status_code == 400
    assert post(product, tenant, CANARY.encode() * 10_000).status_code == 413
    # Where only headers are read.
    for name in ("user-agent", "cookie", "traceparent", "tracestate", "x-forwarded-for", CANARY):
        post(product, tenant, b"{}", **{name: CANARY})
    kid = tenant.key.split("_")[1]
    httpx.get(f"{product.url}/v1/models", headers={"authorization": f"Bearer gwk_{kid}_{CANARY}"})
    httpx.get(f"{product.url}/{CANARY}/v1/models/{CANARY}?{CANARY}={CANARY}")
    chat = {"model": MODEL, "messages": [{"role": "user", "content": CANARY, "name": CANARY}]}
    httpx.post(
        f"{product.url}/v1/chat/completions",
        headers={"authorization": f"Bearer {tenant.key}"},
        json={**chat, "stop": CANARY},
    )

    last = post(product, tenant, json.dumps({"model": MODEL, "input": "end"}).encode()).json()
    wait_until(lambda: any(last["id"] in body for body in collector.raw), "the last trace has come")
    with Redis.from_url(product.redis_url) as redis:
        stored = b"\n".join(redis.dump(key) or b"" for key in redis.scan_iter())
    places = {
        "the gateway's log": product.gateway.log.read_text(),
        "Triton's log": product.triton.log.read_text(),
        "the traces": "\n".join(collector.raw),
        "the metrics": httpx.get(f"{product.ops_url}/metrics").text,
        "Redis": stored.decode("latin-1"),
    }
    assert '"level":"debug"' in places["the gateway's log"]
    assert len(places["Triton's log"]) > 100
    for place, text in places.items():
        assert CANARY not in text, f"in {place}: {excerpt(text)}"
        assert tenant.key not in text, place
        assert tenant.key.rpartition("_")[2][:20] not in text, place


def excerpt(text: str) -> str:
    at = text.find(CANARY)
    return text[max(0, at - 300) : at + 100]
