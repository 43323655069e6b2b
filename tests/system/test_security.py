"""Nobody gets past the key, and nothing secret gets out."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from urllib.parse import quote, urlsplit

import anyio
import httpx
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from gateway.iam.address import Ranges
from gateway.iam.api_key import ENTROPY_BYTES, mint
from gateway.iam.secret_hash import Peppers
from gateway.store.administration import Administration, IssuedKey
from tests.gateway.store.conftest import until
from tests.stack.product import PEPPERS, Product, running_product
from tests.system.http import MODEL, complete, create, streamed

HOSTILE_REQUESTS = 10_000
PATHS = ["/v1/responses", "/v1/responses/input_tokens", "/v1/chat/completions", "/v1/models"]


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """Of this file alone: new keys of others would be throttled after what happens here."""
    with running_product(tmp_path_factory.mktemp("security")) as running:
        yield running


def test_every_path_asks_for_a_key_before_anything_else(product: Product) -> None:
    document = httpx.get(f"{product.url}/openapi.json").json()
    tenant = product.new_project()
    asked = 0
    for path, operations in document["paths"].items():
        for method in operations:
            target = path.format(project_id=tenant.project_id, model=MODEL)
            for headers in ({}, {"authorization": "Bearer x"}, {"authorization": "Basic eDp4"}):
                # A body that would be a 400 for whoever has a key.
                answer = httpx.request(
                    method, product.url + target, headers=headers, content=b"no json"
                )
                assert answer.status_code == 401, (method, target)
                assert answer.json()["error"]["code"] == "invalid_api_key"
                assert answer.headers["www-authenticate"].startswith("Bearer")
                asked += 1
    assert asked >= 3 * 2 * len(PATHS)


@pytest.mark.parametrize(
    "path",
    [
        *("/metrics", "/readyz", "/healthz", "/console", "/admin/v1/policies"),
        *("/v1/organization/projects", "/v1/organization/usage/completions"),
        *("/config/update", "/debug", "/.env", "/admin/v1/policies/explain"),
    ],
)
def test_the_tenants_port_knows_nothing_of_operators(product: Product, path: str) -> None:
    tenant = product.new_project()
    for headers in ({}, {"authorization": f"Bearer {tenant.key}"}):
        for method in ("GET", "POST"):
            answer = httpx.request(method, product.url + path, headers=headers)
            assert answer.status_code == 404
            assert answer.json()["error"]["code"] == "not_found"


def hostile(seed: int) -> Iterator[bytes]:
    """Requests without a key that try to be taken for others."""
    draw = random.Random(seed)
    bent: list[Callable[[str], str]] = [
        lambda path: path,
        lambda path: f"http://docs{path}",
        lambda path: f"http://127.0.0.1:9100{path}",
        lambda path: path.replace("/", "//"),
        lambda path: "/docs/.." + path,
        lambda path: "/docs/%2e%2e" + path,
        lambda path: "/openapi.json/..;" + path,
        lambda path: "/" + quote(path[1:], safe=""),
        lambda path: path.replace("v1", "%761"),
        lambda path: path + "?path=/docs",
        lambda path: path + "%00",
        lambda path: path + "/",
        lambda path: path.upper(),
        lambda path: "/prj_demo_project" + path,
        lambda path: "/" + "%7d:cfg" + path,
        lambda path: path + "#/docs",
        lambda path: "/docs" + path,
    ]
    hosts = [
        *("gateway", "127.0.0.1", "localhost:9100", "docs", "x/docs?", "gateway/docs#"),
        *("[::1]", "a@b", "gateway, docs", "", "é", "/docs", "gateway:80/openapi.json"),
    ]
    others = [
        *("X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: docs", "X-Forwarded-Proto: https"),
        *("X-Forwarded-Prefix: /docs", "X-Original-URL: /docs", "X-Rewrite-URL: /openapi.json"),
        *("X-HTTP-Method-Override: GET", "Forwarded: for=127.0.0.1;host=docs", "X-Real-IP: ::1"),
        *("Authorization: Bearer", "Authorization: Bearer null", "Authorization: bearer undefined"),
        *("authorization: Basic Og==", "Proxy-Authorization: Bearer x", "X-Api-Key: x"),
        *("Cookie: session=admin", "X-User-Id: admin", "Connection: authorization", "Via: x"),
        f"Authorization: Bearer {mint(b'x' * ENTROPY_BYTES).token}",
        f"Authorization: Bearer {mint(b'x' * ENTROPY_BYTES, 'admin').token}",
        "Authorization: Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.",
    ]
    while True:
        path = draw.choice([*PATHS, f"/v1/models/{MODEL}"])
        method = draw.choice(["GET", "POST", "HEAD", "PUT", "OPTIONS", "CONNECT", "get", "PATCH"])
        lines = [f"{method} {draw.choice(bent)(path)} HTTP/1.{draw.choice('011')}"]
        lines += [f"Host: {draw.choice(hosts)}"] * draw.choice([0, 1, 1, 1, 2])
        lines += draw.sample(others, draw.randint(0, 4))
        body = '{"model":"gpt-oss-120b","input":"hi"}'
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        lines += ["Connection: close"]
        yield ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


@pytest.mark.timeout(300)
async def test_no_request_without_a_key_reaches_what_needs_one(product: Product) -> None:
    address = urlsplit(product.url)
    requests = hostile(7)
    statuses = Counter[int]()
    let_in: list[bytes] = []
    before = product.metric("gw_tokens_total", type="output")

    async def one(request: bytes) -> None:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            writer.write(request)
            answer = await reader.read()
        finally:
            writer.close()
        status = int(answer.split(b" ", 2)[1])
        statuses[status] += 1
        # The description of the API is for everybody.
        if status < 400 and not request.split(b" ")[1].startswith((b"/docs", b"/openapi.json")):
            let_in.append(request)

    async def some() -> None:
        for _ in range(HOSTILE_REQUESTS // 20):
            await one(next(requests))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(some)
    assert let_in == []
    assert set(statuses) <= {400, 401, 404, 405, 429}, statuses
    assert statuses[401] > HOSTILE_REQUESTS / 20
    assert product.metric("gw_tokens_total", type="output") == before


def test_what_is_anothers_and_what_is_nobodys_are_the_same_answer_at_every_path(
    product: Product,
) -> None:
    mine, theirs = product.new_project(), product.new_project()
    headers = {"authorization": f"Bearer {mine.key}"}
    document = httpx.get(f"{product.url}/openapi.json").json()
    for path, operations in document["paths"].items():
        if "{project_id}" not in path:
            continue
        for method in operations:
            answers = set()
            for project_id in (theirs.project_id, "prj_nobodys_at_all", "x", "%7d:cfg", "a" * 3000):
                target = path.format(project_id=project_id, model=MODEL)
                answer = httpx.request(method, product.url + target, headers=headers, json={})
                told = {
                    name: value
                    for name, value in answer.headers.items()
                    if name not in ("x-request-id", "date")
                }
                answers.add((answer.status_code, answer.content, str(told)))
            assert len(answers) == 1, (method, path)
            assert answers.pop()[0] == 403


def test_neither_keys_nor_prompts_are_in_logs_metrics_errors_or_redis(product: Product) -> None:
    tenant = product.new_project()
    canary = f"canary{secrets.token_hex(16)}"
    _, kid, secret = tenant.key.split("_")
    wrong = mint(secrets.token_bytes(ENTROPY_BYTES))
    told = [create(product.url, tenant, input=canary), complete(product.url, tenant, user=canary)]
    told += [
        create(product.url, tenant, input=canary, **wrong_field)
        for wrong_field in ({"temperature": 9}, {"tools": [{"type": canary}]}, {"model": canary})
    ]
    with streamed(product.url, tenant, input=canary) as events:
        list(events)
    jwt = f"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.{canary}"
    for sent in (tenant.key, tenant.key[:-1], wrong.token, canary, jwt, tenant.key.upper()):
        answer = httpx.get(f"{product.url}/v1/models", headers={"authorization": f"Bearer {sent}"})
        told.append(answer)
        told.append(httpx.get(f"{product.url}/v1/models?key={sent}"))
        told.append(httpx.get(f"{product.url}/{sent[:60]}/v1/models"))
    product.gwctl("key", "revoke", kid)
    told.append(create(product.url, tenant, input=canary))

    pepper = PEPPERS.partition(":")[2]
    hidden = {secret, wrong.secret, pepper, tenant.key}
    with Redis.from_url(product.redis_url) as redis:
        stored = b"".join(redis.dump(name) or b"" for name in redis.scan_iter())
    files = [path.read_bytes() for path in product.directory.rglob("*") if path.is_file()]
    places = {
        "logs": b"".join(files),
        "metrics": httpx.get(f"{product.ops_url}/metrics").content,
        "redis": stored,
        "errors": b"".join(each.content + str(each.headers).encode() for each in told[2:]),
    }
    assert kid.encode() in places["logs"], "the log names kids; are these the logs?"
    for place, content in places.items():
        for each in hidden:
            assert each.encode() not in content, (place, each)
        if place != "errors":  # which name a field's value to whoever has sent it
            assert canary.encode() not in content, place


def test_a_flood_of_wrong_keys_costs_redis_nothing(product: Product) -> None:
    tenant = product.new_project()
    headers = {"authorization": f"Bearer {tenant.key}"}
    statuses = Counter[int]()
    with Redis.from_url(product.redis_url) as redis, httpx.Client() as client:

        def look_ups() -> int:
            return int(redis.info("commandstats")["cmdstat_hgetall"]["calls"])

        assert client.get(f"{product.url}/v1/models", headers=headers).status_code == 200
        before = look_ups()
        for n in range(1000):
            wrong = mint(secrets.token_bytes(ENTROPY_BYTES)).token
            for sent in (wrong, wrong[:-1] + "x", tenant.key[:-2], f"ey.{n}.x"):
                bad = {"authorization": f"Bearer {sent}"}
                statuses[client.get(f"{product.url}/v1/models", headers=bad).status_code] += 1
        # 20 at once and one a second; who is known is served from there as ever.
        assert look_ups() - before < 100
        assert client.get(f"{product.url}/v1/models", headers=headers).status_code == 200
    assert set(statuses) == {401, 429}
    assert product.metric("gw_authentications_total", result="throttled") > 800


async def test_a_client_cannot_say_where_it_comes_from(product: Product) -> None:
    tenant = product.new_project()
    async with AsyncRedis.from_url(product.redis_url) as redis:
        administration = Administration(redis)
        tokens = {}
        for cidr in ("10.0.0.0/8", "127.0.0.0/8"):
            key = await administration.create_key(
                tenant.project_id,
                "",
                peppers=Peppers.parse(PEPPERS),
                source_cidrs=Ranges.read([cidr]),
            )
            assert isinstance(key, IssuedKey)
            tokens[cidr] = key.token
    async with httpx.AsyncClient() as client:

        async def status(cidr: str) -> int:
            headers = {
                "authorization": f"Bearer {tokens[cidr]}",
                "x-forwarded-for": "10.1.1.1",
                "x-real-ip": "10.1.1.1",
                "forwarded": "for=10.1.1.1",
            }
            return (await client.get(f"{product.url}/v1/models", headers=headers)).status_code

        async def is_known(cidr: str) -> bool:
            return await status(cidr) != 429

        # Others of this file have sent wrong keys from here, a moment ago.
        for cidr, expected in (("127.0.0.0/8", 200), ("10.0.0.0/8", 401)):
            await until(partial(is_known, cidr))
            assert await status(cidr) == expected
