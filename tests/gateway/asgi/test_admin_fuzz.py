"""Whatever is sent to the admin API by somebody who may do everything, nothing breaks.

`ADMIN_FUZZ=20000 pytest tests/gateway/asgi/test_admin_fuzz.py` sends more.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from gateway.asgi.admin.build import build_admin_api
from gateway.iam.secret_hash import Peppers
from gateway.telemetry.metrics import Metrics
from tests.system.test_admin_api import every_path

REQUESTS = int(os.environ.get("ADMIN_FUZZ", "1500"))
KEY = "k" * 40
PROJECT = "prj_fuzzed"

WORDS = [
    *("", "a", "x" * 300, PROJECT, "app_x", "usr_x", "pol_x", "org_default", "org_x", "\x00", "é"),
    *("gwk_", "10.0.0.0/8", "::1/200", "model:use", "GenerativeApisModelAccess", "}{", "../.."),
    *("2026-01-01", "%7d:", "08:00-18:00", "Europe/Paris", "mon"),
]
NUMBERS = [0, 1, -1, 5, 10**9, 2**53, 2**63, 2**70, 10**400, 0.5, 1e308, -0.0]
FIELDS = [
    *("name", "id", "limits", "requests_per_minute", "daily_tokens", "daily_mode", "rate_mode"),
    *("principal_id", "principal_ids", "rules", "permission_sets", "project_ids", "conditions"),
    *("organization_id", "source_cidrs", "expires_at", "overlap_seconds", "permission", "at"),
    *("api_key_id", "project_id", "address", "document", "dry_run", "prune", "projects", "keys"),
    *("applications", "users", "policies", "token", "subject", "issuer", "default_project_id"),
    *("max_requests_per_1_minute", "models", "hours", "tz", "weekdays", "not_before"),
]
ASKED = [
    *("limit", "after", "start_time", "end_time", "bucket_width", "group_by", "group_by[]", "page"),
    *("project_ids", "project_id", "api_key_ids", "user_ids", "models", "include_archived"),
    *("effective_at[gte]", "effective_at[lt]", "event_types", "actor_ids", "principal_id"),
]
ANSWERS = [
    *("", "0", "1", "-1", "1795000000", "9" * 30, "1d", "1m", "project_id", "user_id,model"),
    *("true", "page_MTA", "page_x", PROJECT, "\x00", "a,b,c", "٣", "1e5"),
]
BODIES = [b"", b"[]", b"null", b"{", b"\xff", b'{"name":"\\ud800"}', b"[" * 2000, b"0" * 100_000]


def value(draw: random.Random, depth: int = 0) -> object:
    kind = draw.randrange(12)
    if kind < 4 or depth == 3:
        return draw.choice(WORDS)
    if kind < 6:
        return draw.choice(NUMBERS)
    if kind == 6:
        return draw.choice([None, True, False])
    if kind == 7:
        return [value(draw, depth + 1) for _ in range(draw.randrange(4))]
    return {draw.choice(FIELDS): value(draw, depth + 1) for _ in range(draw.randrange(5))}


def requests(draw: random.Random, kid: str) -> Iterator[httpx.Request]:
    paths = every_path()
    while True:
        method, path = draw.choice(paths)
        others = [PROJECT, PROJECT, "prj_nobodys_project", "x", "%7D%3A", "é"]
        path = path.replace("prj_nobodys_project", draw.choice(others))
        path = path.replace("a" * 16, draw.choice([kid, "a" * 16, "%00"]))
        path = path.replace("app_x", draw.choice([f"app_{PROJECT}", "app_x", "%2e"]))
        path = path.replace("pol_x", draw.choice([f"pol_{PROJECT}", "pol_x"]))
        body = {draw.choice(FIELDS): value(draw) for _ in range(draw.randrange(6))}
        if draw.random() < 0.5:
            body["name"] = draw.choice(["a", "b"])
        content = json.dumps(body).encode()
        yield httpx.Request(
            method,
            f"http://gateway{path}",
            params=[(draw.choice(ASKED), draw.choice(ANSWERS)) for _ in range(draw.randrange(4))],
            content=draw.choice(BODIES) if draw.random() < 0.05 else content,
            headers={"authorization": f"Bearer {KEY}"},
        )


@pytest.mark.timeout(600)
async def test_nothing_that_is_sent_breaks_it(redis: Redis) -> None:
    app = build_admin_api(
        redis,
        Peppers({1: b"p" * 32}),
        Metrics(CollectorRegistry(), model="m"),
        model="m",
        bootstrap_key=KEY,
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    statuses = Counter[int]()
    async with httpx.AsyncClient(
        transport=transport, headers={"authorization": f"Bearer {KEY}"}
    ) as client:
        path = "http://gateway/v1/organization/projects"
        await client.post(path, json={"name": "a", "id": PROJECT})
        kid = (await client.post(f"{path}/{PROJECT}/api_keys", json={})).json()["id"]
        sent = requests(random.Random(7), kid)
        for _ in range(REQUESTS):
            request = next(sent)
            answer = await client.send(request)
            told = (request.method, str(request.url), request.content[:500], answer.text)
            assert answer.status_code < 500, told
            if answer.status_code >= 400:
                assert set(answer.json()["error"]) == {"message", "type", "param", "code"}, told
            statuses[answer.status_code] += 1
    assert statuses[200] > REQUESTS / 10
