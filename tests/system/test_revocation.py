"""What is taken away is taken with the next request, on every gateway and at every path.

`make test-revocation` does it a thousand times.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import httpx
import pytest
from redis.asyncio import Redis

from gateway.iam.policy import Projects, Rule
from gateway.iam.secret_hash import Peppers
from gateway.quota.limits import NO_LIMITS
from gateway.store.administration import Administration, IssuedKey
from gateway.store.policies import Policies
from gateway.store.principals import Principals
from gateway.store.records import ProjectState
from tests.stack.product import PEPPERS, Product, more_gateways
from tests.system.http import MODEL

TRIALS = int(os.environ.get("REVOCATION_TRIALS", "30"))

PROJECT = "prj_revocation"
BODY: dict[str, object] = {"model": MODEL, "input": "hi", "max_output_tokens": 1}
CHAT: dict[str, object] = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
# What a client may do next: everything that there is, right and wrong.
REQUESTS: list[tuple[str, str, object]] = [
    ("POST", "/v1/responses", BODY),
    ("POST", "/v1/responses", {**BODY, "stream": True}),
    ("POST", "/v1/responses", {**BODY, "temperature": 9}),
    ("POST", "/v1/responses", {**BODY, "model": "gpt-5"}),
    ("POST", "/v1/responses", ["no object"]),
    ("POST", "/v1/responses/input_tokens", BODY),
    ("POST", "/v1/responses/input_tokens", {}),
    ("POST", "/v1/chat/completions", CHAT),
    ("GET", "/v1/models", None),
    ("GET", f"/v1/models/{MODEL}", None),
    ("GET", "/v1/models/gpt-5", None),
]
WHAT = ("the key", "its policy", "its bearer", "the project", "its secret")


@pytest.fixture(scope="module")
def urls(
    product: Product, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str, str]]:
    """Three gateways on one Redis and one worker."""
    directories = [tmp_path_factory.mktemp("gateway") for _ in range(2)]
    with more_gateways(product, directories) as (second, third):
        yield product.url, second, third


@pytest.mark.timeout(1800)
async def test_what_is_taken_away_is_refused_with_the_next_request_on_every_gateway(
    product: Product, urls: tuple[str, str, str]
) -> None:
    peppers = Peppers.parse(PEPPERS)
    wrong: list[str] = []
    async with Redis.from_url(product.redis_url) as redis, httpx.AsyncClient(timeout=60) as client:
        administration, principals, policies = (
            Administration(redis),
            Principals(redis),
            Policies(redis),
        )
        await administration.create_project("", NO_LIMITS, with_id=PROJECT)
        rule = Rule(frozenset({"GenerativeApisModelAccess"}), Projects(frozenset({PROJECT})))

        async def ask(url: str, request: tuple[str, str, object], token: str) -> int:
            method, path, body = request
            headers = {"authorization": f"Bearer {token}"}
            return (
                await client.request(method, url + path, json=body, headers=headers)
            ).status_code

        for trial in range(TRIALS):
            bearer = f"app_trial{trial}"
            await principals.create_principal("application", "", with_id=bearer)
            await policies.create_policy(
                "", principal_ids=[bearer], rules=[rule], with_id=f"pol_trial{trial}"
            )
            key = await administration.create_key(PROJECT, "", peppers=peppers, principal_id=bearer)
            assert isinstance(key, IssuedKey)
            for url in urls:
                assert await ask(url, REQUESTS[0], key.token) == 200

            expected = 401
            match WHAT[trial % len(WHAT)]:
                case "the key":
                    await administration.revoke_key(key.record.kid)
                case "its policy":
                    await policies.delete_policy("org_default", f"pol_trial{trial}")
                    expected = 403
                case "its bearer":
                    await principals.delete_principal(bearer)
                case "the project":
                    await administration.set_state(PROJECT, ProjectState.DISABLED)
                    expected = 403
                case "its secret":
                    await administration.rotate_key(key.record.kid, overlap_s=0, peppers=peppers)
            for n, url in enumerate(urls):
                request = REQUESTS[(trial + n) % len(REQUESTS)]
                status = await ask(url, request, key.token)
                if status != expected:
                    wrong.append(f"{WHAT[trial % len(WHAT)]}: {request[:2]} {status}")
            await administration.set_state(PROJECT, ProjectState.ACTIVE)
    assert wrong == [], f"{len(wrong)} of {3 * TRIALS}"
