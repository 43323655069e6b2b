"""A token of an identity provider, through the running gateway."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from gateway.iam.policy import Projects, Rule
from gateway.iam.providers import Provider
from gateway.store.policies import Policies
from gateway.store.principals import Principals
from tests.gateway.test_oidc import AUDIENCE, OTHER_RSA_KEY, RSA_KEY, jwk, served, signed
from tests.stack.demo import Tenant
from tests.stack.gateway import start_gateway
from tests.stack.process import Process, free_port
from tests.stack.product import PEPPERS, Product
from tests.system.http import create


@pytest.fixture
def provider() -> Iterator[Provider]:
    with served({"/keys": {"keys": [jwk(RSA_KEY, "rsa")]}}) as (url, _):
        yield Provider(url, (AUDIENCE,), f"{url}/keys")


@pytest.fixture
def gateway(product: Product, provider: Provider, tmp_path: Path) -> Iterator[tuple[str, Process]]:
    port = free_port()
    setting = {"issuer": provider.issuer, "audience": AUDIENCE, "jwks_url": provider.jwks_url}
    with start_gateway(
        port,
        free_port(),
        tmp_path,
        redis_url=product.redis_url,
        workers=product.triton_address,
        peppers=PEPPERS,
        env={"GATEWAY_OIDC": json.dumps([setting]), "GATEWAY_DRAIN_DELAY_S": "0"},
    ) as process:
        yield f"http://127.0.0.1:{port}", process


async def test_a_token_asks_and_is_charged_as_its_user_until_that_is_deleted(
    product: Product, provider: Provider, gateway: tuple[str, Process]
) -> None:
    url, process = gateway
    project_id = product.new_project().project_id
    exp = time.time() + 300
    good = Tenant(project_id, signed(provider, exp=exp))
    stranger = Tenant(project_id, signed(provider, sub="nobody", exp=exp))
    forged = Tenant(project_id, signed(provider, OTHER_RSA_KEY, exp=exp))
    async with Redis.from_url(product.redis_url) as redis:
        anne = await Principals(redis).create_principal(
            "user",
            "anne",
            with_id=f"usr_{project_id}",
            issuer=provider.issuer,
            subject="anne",
            default_project_id=project_id,
        )
        use = Rule(frozenset({"GenerativeApisModelAccess"}), Projects(frozenset({project_id})))
        await Policies(redis).create_policy(
            "", principal_ids=[f"usr_{project_id}"], rules=[use], with_id=f"pol_{project_id}"
        )
        assert create(url, good).status_code == 200
        for bad in (stranger, forged, Tenant(project_id, good.key[:-4])):
            refused = create(url, bad)
            assert refused.status_code == 401
            assert refused.json()["error"]["code"] == "invalid_api_key"
        # Another gateway has no such provider.
        assert create(product.url, good).status_code == 401
        await Principals(redis).delete_principal(f"usr_{project_id}")
    async with httpx.AsyncClient() as client:
        headers = {"authorization": f"Bearer {good.key}"}
        assert (await client.get(f"{url}/v1/models", headers=headers)).status_code == 401
    (row,) = product.gwctl("usage", "--project", project_id)
    assert (row["kid"], row["requests"]) == (f"usr_{project_id}", 1)
    assert anne is not None
    log = process.log.read_text()
    assert "token refused: its signature is wrong" in log
    for token in (good.key, stranger.key, forged.key):
        for part in token.split(".")[1:]:
            assert part not in log
