"""From requests to callers: who is let in, and that those who are not all hear the same."""

from __future__ import annotations

import json
from collections.abc import Awaitable

import pytest
from redis.asyncio import Redis
from starlette.requests import Request

from gateway.asgi.administrators import BOOTSTRAP, Administrators
from gateway.asgi.authentication import Authenticator, Credentials
from gateway.iam.api_key import ApiKey, parse
from gateway.iam.decision import Target
from gateway.iam.policy import Organisation, Projects, Rule, read_rule
from gateway.iam.providers import External
from gateway.iam.secret_hash import Peppers
from gateway.oidc import ProviderUnavailable
from gateway.quota.limits import NO_LIMITS
from gateway.quota.service_tier import ServiceTier
from gateway.responses.errors import ApiError
from gateway.store.administration import Administration, IssuedKey
from gateway.store.directory import Directory
from gateway.store.policies import Policies
from gateway.store.principals import Principals
from gateway.store.records import ProjectState

PEPPERS = Peppers({1: b"p" * 32})
MINE, THEIRS = "prj_mine_mine", "prj_theirs_theirs"
BOOTSTRAP_KEY = "b" * 40


class Time:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Tokens:
    """An identity provider that knows one token, and may be away."""

    away = False

    def may_be_token(self, text: str) -> bool:
        return text.startswith("ey")

    async def verify(self, text: str) -> External | str:
        if self.away:
            raise ProviderUnavailable
        return External("app_ci", "https://id", "", 2e9) if text == "eyGood" else "it is bad"


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def administration(redis: Redis) -> Administration:
    administration = Administration(redis)
    for project_id in (MINE, THEIRS):
        await administration.create_project("", NO_LIMITS, with_id=project_id)
    await Principals(redis).create_principal(
        "application", "ci", with_id="app_ci", default_project_id=MINE
    )
    return administration


class Gateway:
    def __init__(self, redis: Redis, time: Time, tokens: Tokens, hops: int = 0) -> None:
        self.results: list[str] = []
        directory = Directory(redis, PEPPERS, monotonic=time, unix_time=time)
        credentials = Credentials(
            directory,
            "tenant",
            tokens=tokens,
            trusted_proxy_hops=hops,
            observe=self.results.append,
            unix_time=time,
        )
        self.authenticator = Authenticator(directory, credentials)
        uncached = Directory(redis, PEPPERS, cache_s=0, stale_s=0, monotonic=time, unix_time=time)
        self.administrators = Administrators(
            Credentials(uncached, "admin", unix_time=time), bootstrap_key=BOOTSTRAP_KEY
        )


@pytest.fixture
def tokens() -> Tokens:
    return Tokens()


@pytest.fixture
def gateway(redis: Redis, time: Time, tokens: Tokens) -> Gateway:
    return Gateway(redis, time, tokens)


def asking(token: str | None, project_id: str | None = None, **headers: str) -> Request:
    sent = {"host": "gateway", **({} if token is None else {"authorization": f"Bearer {token}"})}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(
        {
            "type": "http",
            "method": "POST",
            "path": "/",
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "client": ("192.0.2.1", 5),
            "path_params": {} if project_id is None else {"project_id": project_id},
        }
    )


async def refusal(answer: Awaitable[object]) -> tuple[int, bytes, dict[str, str]]:
    with pytest.raises(ApiError) as raised:
        await answer
    return raised.value.status, json.dumps(raised.value.body()).encode(), raised.value.headers


async def token_of(
    administration: Administration, project_id: str | None = MINE, **options: object
) -> str:
    key = await administration.create_key(project_id, "", peppers=PEPPERS, **options)  # type: ignore[arg-type]
    assert isinstance(key, IssuedKey)
    return key.token


async def allow(redis: Redis, *rules: Rule, policy_id: str = "pol_ci") -> None:
    await Policies(redis).create_policy(
        "", principal_ids=["app_ci"], rules=rules, with_id=policy_id
    )


def use(**conditions: object) -> Rule:
    return read_rule(
        {
            "permission_sets": ["GenerativeApisModelAccess"],
            "project_ids": [MINE],
            "conditions": conditions,
        }
    )


async def test_whatever_is_wrong_with_a_key_the_answer_is_the_same(
    gateway: Gateway, administration: Administration, time: Time
) -> None:
    good = await token_of(administration)
    key = parse(good)
    assert key is not None
    expired = await token_of(administration, expires_at=int(time.now))
    revoked = await token_of(administration)
    await administration.revoke_key(revoked.split("_")[1])
    stored = await administration.find_key(key.kid)
    assert stored is not None
    tokens = [
        *(good[:-1], "junk", "ey.bad.token", BOOTSTRAP_KEY, expired, revoked),
        ApiKey("u" * 16, "x" * 32).token,
        ApiKey(key.kid, "x" * 32).token,
        ApiKey(key.kid, key.secret, "admin").token,
        await token_of(administration, kind="admin"),
        # What stands in Redis is no key.
        stored.hashed_secret.digest.hex(),
        f"gwk_{key.kid}_{stored.hashed_secret.digest.hex()}",
    ]
    caller = gateway.authenticator.caller_of
    answers = {repr(await refusal(caller(asking(token)))) for token in tokens}
    assert len(answers) == 1
    assert "401" in answers.pop()
    assert gateway.results == [
        *("malformed", "malformed", "bad_token", "malformed", "expired", "revoked", "unknown"),
        *("wrong_secret", "wrong_kind", "wrong_kind", "malformed", "malformed"),
    ]
    assert (await caller(asking(good))).project_id == MINE
    for scheme in ("", "Bearer", "Basic " + good, "Bearer  "):
        request = asking(None, **({"authorization": scheme} if scheme else {}))
        assert (await refusal(caller(request)))[0] == 401


async def test_a_project_of_others_none_and_what_is_no_id_are_the_same_answer(
    gateway: Gateway, administration: Administration, redis: Redis
) -> None:
    narrow = await token_of(administration)
    await allow(redis, Rule(frozenset({"UsageReadOnly"}), Organisation("org_default")))
    wide = await token_of(administration, None, principal_id="app_ci")
    await administration.create_project("", NO_LIMITS, with_id="prj_disabled")
    await administration.set_state("prj_disabled", ProjectState.DISABLED)
    asked = (THEIRS, "prj_nobodys", "prj_disabled", "x", "prj_a}:cfg", "--------", "é" * 3000, "")
    caller = gateway.authenticator.caller_of
    answers = {
        repr(await refusal(caller(asking(token, project_id))))
        for token in (narrow, wide)
        for project_id in asked
    }
    assert len(answers) == 1
    assert "403" in answers.pop()


async def test_a_condition_that_does_not_hold_is_no_access(
    redis: Redis, administration: Administration, time: Time, tokens: Tokens
) -> None:
    gateway = Gateway(redis, time, tokens, hops=1)
    token = await token_of(administration, principal_id="app_ci")
    await allow(
        redis,
        use(source_cidrs=["203.0.113.0/24"], user_agent_prefix="ci/", expires_at=int(time.now) + 5),
    )
    caller = gateway.authenticator.caller_of
    good = {"x_forwarded_for": "10.0.0.1, 203.0.113.9", "user_agent": "ci/1"}
    assert (await caller(asking(token, **good))).project_id == MINE
    for bad in (
        {**good, "user_agent": "curl/8"},
        {**good, "x_forwarded_for": "203.0.113.9, 10.0.0.1"},
        {"user_agent": "ci/1"},
    ):
        assert (await refusal(caller(asking(token, **bad))))[0] == 403
    time.now += 5
    assert (await refusal(caller(asking(token, **good))))[0] == 403


async def test_models_are_looked_at_once_they_are_known(
    gateway: Gateway, redis: Redis, administration: Administration
) -> None:
    token = await token_of(administration, principal_id="app_ci")
    await allow(redis, use(models=["small"]))
    caller = gateway.authenticator.caller_of
    first = await caller(asking(token))
    assert first.depends_on_body
    assert not (await caller(asking(token), model="small")).depends_on_body
    status, body, _ = await refusal(caller(asking(token), model="large"))
    assert (status, json.loads(body)["error"]["code"]) == (403, "model_forbidden")
    await allow(redis, use(), policy_id="pol_more")
    assert not (await (await caller(asking(token))).refreshed()).depends_on_body


async def test_who_was_denied_is_let_in_soon_after_a_policy_allows_it(
    gateway: Gateway, redis: Redis, administration: Administration, time: Time
) -> None:
    token = await token_of(administration, principal_id="app_ci")
    caller = gateway.authenticator.caller_of
    assert (await refusal(caller(asking(token))))[0] == 403
    await allow(redis, use())
    time.now += 5.1
    assert (await caller(asking(token))).project_id == MINE
    await Policies(redis).delete_policy("org_default", "pol_ci")
    assert (await refusal((await caller(asking(token))).refreshed()))[0] == 403


async def test_a_token_of_an_identity_provider_is_as_good_as_a_key(
    gateway: Gateway, redis: Redis, administration: Administration, tokens: Tokens
) -> None:
    await allow(redis, use())
    caller = gateway.authenticator.caller_of
    assert (await caller(asking("eyGood"))).kid == "app_ci"
    assert (await refusal(caller(asking("eyBad"))))[0] == 401
    tokens.away = True
    status, body, headers = await refusal(caller(asking("eyGood")))
    assert (status, headers["retry-after"]) == (503, "5")
    assert json.loads(body)["error"]["code"] == "identity_provider_unavailable"


async def test_a_source_of_wrong_keys_is_told_to_wait_and_known_keys_from_there_are_not(
    gateway: Gateway, administration: Administration
) -> None:
    good = await token_of(administration)
    caller = gateway.authenticator.caller_of
    await caller(asking(good))
    statuses = [
        (await refusal(caller(asking(ApiKey(f"{n:016}", "x" * 32).token))))[0] for n in range(30)
    ]
    assert statuses == [401] * 20 + [429] * 10
    late = await token_of(administration)
    status, body, headers = await refusal(caller(asking(late)))
    assert (status, json.loads(body)["error"]["code"]) == (429, "too_many_wrong_keys")
    assert headers["retry-after"] == "1"
    assert (await caller(asking(good))).project_id == MINE


async def test_the_admin_api_takes_admin_keys_and_the_one_to_begin_with(
    gateway: Gateway, redis: Redis, administration: Administration
) -> None:
    administrator_of = gateway.administrators.administrator_of
    anybody = await administrator_of(asking(BOOTSTRAP_KEY))
    assert (anybody.kid, anybody.organisation_id) == (BOOTSTRAP, None)
    assert anybody.may("iam:write", Target("org_other", THEIRS))

    await allow(
        redis,
        Rule(frozenset({"ProjectManager"}), Organisation("org_default")),
        Rule(frozenset({"QuotaManager"}), Projects(frozenset({MINE}))),
    )
    token = await token_of(administration, None, principal_id="app_ci", kind="admin")
    manager = await administrator_of(asking(token))
    organisation = Target("org_default")
    assert manager.principal_id == "app_ci"
    assert manager.may("project:write", organisation)
    assert manager.may("quota:write", Target("org_default", MINE))
    assert not manager.may("quota:write", Target("org_default", THEIRS))
    assert not manager.may("project:write", Target("org_other"))

    async def required(target: Target | None) -> None:
        manager.require("quota:write", target)

    theirs, nobodys = Target("org_default", THEIRS), None
    assert await refusal(required(theirs)) == await refusal(required(nobodys))
    await required(Target("org_default", MINE))

    tenant = await token_of(administration)
    wrong = [tenant, "x" * 40, BOOTSTRAP_KEY + "b", BOOTSTRAP_KEY[:-1], token[:-1], "eyGood"]
    answers = {repr(await refusal(administrator_of(asking(each)))) for each in wrong}
    assert len(answers) == 1
    assert "401" in answers.pop()
    assert (await refusal(administrator_of(asking(None))))[0] == 401

    # Nothing is cached here: what is revoked is refused.
    await administration.revoke_key(token.split("_")[1])
    assert (await refusal(administrator_of(asking(token))))[0] == 401


def test_an_administrator_printed_shows_no_secret() -> None:
    assert "secret" not in repr(ApiKey("k" * 16, "secret", "admin"))


@pytest.mark.parametrize(
    ("rule", "asked", "served"),
    [
        ({}, None, "default"),
        ({}, "flex", "flex"),
        ({}, "priority", "default"),
        ({"tiers": ["priority", "default"]}, "priority", "priority"),
        ({"tiers": ["priority", "default"]}, "auto", "default"),
        ({"tiers": ["priority", "default"]}, "flex", 403),
        ({"tiers": ["flex"]}, "auto", "flex"),
        ({"tiers": ["flex"]}, "flex", "flex"),
        ({"tiers": ["flex"]}, "default", 403),
        ({"tiers": ["flex"]}, "priority", 403),
        ({"models": ["small"]}, "flex", "flex"),
        ({"models": ["large"]}, "auto", "model_forbidden"),
    ],
)
async def test_a_request_is_served_in_the_best_tier_that_it_asks_for_and_its_key_may_use(
    gateway: Gateway,
    redis: Redis,
    administration: Administration,
    rule: dict[str, list[str]],
    asked: str | None,
    served: str | int,
) -> None:
    token = await token_of(administration, principal_id="app_ci")
    await allow(redis, use(**rule))
    authenticator, http = gateway.authenticator, asking(token)
    first = await authenticator.caller_of(http)
    answer = authenticator.caller_asking(http, first, model="small", service_tier=asked)
    if served in [tier.value for tier in ServiceTier]:
        caller = await answer
        assert caller.tier.value == served
    else:
        status, body, _ = await refusal(answer)
        code = json.loads(body)["error"]["code"]
        assert (status, code) == (403, "tier_forbidden" if served == 403 else served)


@pytest.mark.parametrize(
    ("header", "patience_s"), [("600", 599), ("0.5", 0), ("inf", None), ("soon", None), ("", None)]
)
async def test_a_client_may_say_when_it_hangs_up(
    gateway: Gateway, redis: Redis, administration: Administration, header: str, patience_s: float
) -> None:
    token = await token_of(administration, principal_id="app_ci")
    await allow(redis, use())
    caller = await gateway.authenticator.caller_of(asking(token, x_stainless_read_timeout=header))
    assert caller.patience_s == patience_s
