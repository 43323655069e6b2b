"""Policies, principals and keys: what is written reaches the records that authentication reads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway.iam.address import Ranges
from gateway.iam.policy import Organisation, Policy, Projects, Rule, Scope
from gateway.iam.secret_hash import Peppers
from gateway.quota.limits import NO_LIMITS, Limits
from gateway.store.administration import Administration, IssuedKey
from gateway.store.errors import StoreUnavailable
from gateway.store.policies import ForeignProject, Policies, UnknownPolicy
from gateway.store.principals import (
    IdTaken,
    Principals,
    UnknownOrganisation,
    UnknownPrincipal,
)
from gateway.store.records import KeyRecord, KeyState, PrincipalRecord, PrincipalState

PEPPERS = Peppers({1: b"p" * 32})
ORG = "org_default"
ONE, TWO = "prj_number_one", "prj_number_two"


@pytest.fixture
async def administration(redis: Redis) -> Administration:
    administration = Administration(redis)
    for project_id in (ONE, TWO):
        await administration.create_project("", NO_LIMITS, with_id=project_id)
    return administration


@pytest.fixture
def principals(redis: Redis) -> Principals:
    return Principals(redis)


@pytest.fixture
def policies(redis: Redis) -> Policies:
    return Policies(redis)


async def made(answer: Awaitable[PrincipalRecord | UnknownOrganisation | IdTaken]) -> str:
    principal = await answer
    assert isinstance(principal, PrincipalRecord)
    return principal.principal_id


async def issued(answer: Awaitable[object]) -> KeyRecord:
    key = await answer
    assert isinstance(key, IssuedKey)
    return key.record


def rule(*project_ids: str, sets: str = "GenerativeApisModelAccess") -> Rule:
    scope: Scope = Projects(frozenset(project_ids)) if project_ids else Organisation(ORG)
    return Rule(frozenset({sets}), scope)


async def versions(administration: Administration) -> dict[str, int]:
    return {each.project_id: each.version for each in await administration.list_projects()}


async def scopes(administration: Administration, kid: str) -> set[Scope]:
    record = await administration.find_key(kid)
    assert record is not None
    return {line.scope for line in record.lines}


async def test_a_key_may_do_what_its_bearers_policies_say_whichever_was_there_first(
    administration: Administration, principals: Principals, policies: Policies
) -> None:
    ci = await made(principals.create_principal("application", "ci"))
    before = await issued(administration.create_key(ONE, "a", peppers=PEPPERS, principal_id=ci))
    assert before.lines == ()
    policy = await policies.create_policy("use", principal_ids=[ci], rules=[rule(ONE)])
    assert isinstance(policy, Policy)
    after = await issued(administration.create_key(None, "b", peppers=PEPPERS, principal_id=ci))
    assert await scopes(administration, before.kid) == {Projects(frozenset({ONE}))}
    assert await scopes(administration, after.kid) == {Projects(frozenset({ONE}))}
    principal = await principals.find_principal(ci)
    assert principal is not None
    assert principal.lines == after.lines
    assert await policies.list_policies(ORG, principal_id=ci) == [policy]


async def test_a_change_of_a_policy_reaches_old_and_new_principals_and_projects(
    administration: Administration, principals: Principals, policies: Policies
) -> None:
    anne = await made(principals.create_principal("user", "anne"))
    bert = await made(principals.create_principal("user", "bert"))
    annes = await issued(administration.create_key(ONE, "", peppers=PEPPERS, principal_id=anne))
    berts = await issued(administration.create_key(TWO, "", peppers=PEPPERS, principal_id=bert))
    await policies.create_policy("p", principal_ids=[anne], rules=[rule(ONE)], with_id="pol_p")
    before = await versions(administration)
    await policies.create_policy("p", principal_ids=[bert], rules=[rule(TWO)], with_id="pol_p")
    assert await scopes(administration, annes.kid) == set()
    assert await scopes(administration, berts.kid) == {Projects(frozenset({TWO}))}
    assert await versions(administration) == {ONE: before[ONE] + 1, TWO: before[TWO] + 1}

    assert isinstance(await policies.delete_policy(ORG, "pol_p"), Policy)
    assert await scopes(administration, berts.kid) == set()
    assert (await versions(administration))[TWO] == before[TWO] + 2
    assert await policies.find_policy("pol_p") is None
    assert await policies.delete_policy(ORG, "pol_p") == UnknownPolicy("pol_p")


async def test_a_policy_for_an_organisation_concerns_all_its_projects(
    administration: Administration, principals: Principals, policies: Policies
) -> None:
    ops = await made(principals.create_principal("application", "ops"))
    before = await versions(administration)
    await policies.create_policy("all", principal_ids=[ops], rules=[rule()], with_id="pol_all")
    assert await versions(administration) == {each: before[each] + 1 for each in before}


async def test_a_policy_gives_only_what_its_organisation_has(
    administration: Administration, principals: Principals, policies: Policies
) -> None:
    other = await principals.create_organisation("other", with_id="org_other")
    assert not isinstance(other, IdTaken)
    ci = await made(principals.create_principal("application", "ci"))
    theirs = await made(
        principals.create_principal("application", "x", organisation_id="org_other")
    )
    await administration.create_project(
        "theirs", NO_LIMITS, with_id="prj_theirs", organisation_id="org_other"
    )

    async def refusal(principal_id: str, *rules: Rule, organisation_id: str = ORG) -> object:
        return await policies.create_policy(
            "", principal_ids=[principal_id], rules=rules, organisation_id=organisation_id
        )

    assert await refusal(ci, rule("prj_theirs")) == ForeignProject("prj_theirs")
    assert await refusal(ci, rule("prj_nobodys")) == ForeignProject("prj_nobodys")
    assert await refusal(theirs, rule(ONE)) == UnknownPrincipal(theirs)
    assert await refusal("app_nobody", rule(ONE)) == UnknownPrincipal("app_nobody")
    assert await refusal(theirs, rule(), organisation_id="org_other") == UnknownOrganisation(ORG)
    assert await refusal(ci, rule(ONE), organisation_id="org_no") == UnknownOrganisation("org_no")
    assert await policies.list_policies(ORG) == []
    key = await administration.create_key("prj_theirs", "", peppers=PEPPERS, principal_id=ci)
    assert not isinstance(key, IssuedKey)
    # Nor is one taken over by naming its id.
    await policies.create_policy("", principal_ids=[ci], rules=[rule(ONE)], with_id="pol_mine")
    taken = await policies.create_policy(
        "", principal_ids=[], rules=[], organisation_id="org_other", with_id="pol_mine"
    )
    assert taken == UnknownOrganisation(ORG)
    assert await policies.delete_policy("org_other", "pol_mine") == UnknownPolicy("pol_mine")


async def test_of_many_operators_who_change_policies_of_one_principal_none_is_forgotten(
    administration: Administration, principals: Principals, policies: Policies
) -> None:
    ci = await made(principals.create_principal("application", "ci"))
    key = await issued(administration.create_key(ONE, "", peppers=PEPPERS, principal_id=ci))
    late: list[KeyRecord] = []

    async def allow(n: int) -> None:
        await policies.create_policy(
            "", principal_ids=[ci], rules=[rule(ONE)], with_id=f"pol_{n:02}"
        )

    async def create() -> None:
        late.append(
            await issued(administration.create_key(ONE, "", peppers=PEPPERS, principal_id=ci))
        )

    async with anyio.create_task_group() as tasks:
        for n in range(20):
            tasks.start_soon(allow, n)
            tasks.start_soon(create)
    for kid in (key.kid, *(each.kid for each in late)):
        record = await administration.find_key(kid)
        assert record is not None
        assert [line.policy_id for line in record.lines] == [f"pol_{n:02}" for n in range(20)]


class Overtaken(Redis):
    """Before the first command that is looked for, something else happens, whole."""

    looked_for: Callable[[tuple[object, ...]], bool] | None = None
    happens: Callable[[], Awaitable[object]]

    async def execute_command(self, *args: object, **options: object) -> object:
        if self.looked_for is not None and self.looked_for(args):
            self.looked_for = None
            await self.happens()
        return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


async def test_who_is_overtaken_between_reading_policies_and_writing_lines_undoes_nothing(
    administration: Administration, principals: Principals, policies: Policies, redis_port: int
) -> None:
    ci = await made(principals.create_principal("application", "ci"))
    key = await issued(administration.create_key(ONE, "", peppers=PEPPERS, principal_id=ci))

    async def allow(by: Policies, policy_id: str) -> None:
        await by.create_policy("", principal_ids=[ci], rules=[rule(ONE)], with_id=policy_id)

    async with Overtaken(host="127.0.0.1", port=redis_port) as slow:
        slow.looked_for = lambda args: args[0] == "EVALSHA" and f"gw:principal:{ci}" in args
        slow.happens = lambda: allow(policies, "pol_fast")
        await allow(Policies(slow), "pol_slow")
        assert slow.looked_for is None
    record = await administration.find_key(key.kid)
    assert record is not None
    assert [line.policy_id for line in record.lines] == ["pol_fast", "pol_slow"]


async def test_a_key_that_is_created_while_a_policy_changes_has_the_new_one(
    administration: Administration, principals: Principals, policies: Policies, redis_port: int
) -> None:
    ci = await made(principals.create_principal("application", "ci"))

    async def allow() -> None:
        await policies.create_policy("", principal_ids=[ci], rules=[rule(ONE)], with_id="pol_new")

    async with Overtaken(host="127.0.0.1", port=redis_port) as slow:
        slow.looked_for = lambda args: args[0] == "HSET" and str(args[1]).startswith("gw:key:")
        slow.happens = allow
        key = await issued(
            Administration(slow).create_key(ONE, "", peppers=PEPPERS, principal_id=ci)
        )
        assert slow.looked_for is None
    assert [line.policy_id for line in key.lines] == ["pol_new"]
    assert await administration.find_key(key.kid) == key


class BreaksAfter(Redis):
    """Takes so many commands, then the connection is gone."""

    left = 0

    async def execute_command(self, *args: object, **options: object) -> object:
        if type(self).left == 0:
            raise RedisConnectionError
        type(self).left -= 1
        return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


async def test_a_change_that_was_interrupted_anywhere_is_finished_by_saying_it_again(
    administration: Administration, principals: Principals, policies: Policies, redis_port: int
) -> None:
    anne = await made(principals.create_principal("user", "anne"))
    bert = await made(principals.create_principal("user", "bert"))
    annes = await issued(administration.create_key(ONE, "", peppers=PEPPERS, principal_id=anne))
    for commands in range(60):
        await policies.create_policy("", principal_ids=[anne], rules=[rule(ONE)], with_id="pol_p")
        before = await versions(administration)
        async with BreaksAfter(host="127.0.0.1", port=redis_port) as breaking:
            BreaksAfter.left = commands
            try:
                await Policies(breaking).create_policy(
                    "", principal_ids=[bert], rules=[rule(TWO)], with_id="pol_p"
                )
                break
            except StoreUnavailable:
                pass
        await policies.create_policy("", principal_ids=[bert], rules=[rule(TWO)], with_id="pol_p")
        assert await scopes(administration, annes.kid) == set(), commands
        assert (await versions(administration))[ONE] > before[ONE], commands
        assert (await versions(administration))[TWO] > before[TWO], commands
    else:
        raise AssertionError("the change never came to its end")
    assert commands > 20


async def test_a_principal_that_is_deleted_loses_its_keys(
    administration: Administration, principals: Principals, policies: Policies
) -> None:
    ci = await made(principals.create_principal("application", "ci"))
    await policies.create_policy("", principal_ids=[ci], rules=[rule(TWO)], with_id="pol_p")
    key = await issued(administration.create_key(ONE, "", peppers=PEPPERS, principal_id=ci))
    before = await versions(administration)
    deleted = await principals.delete_principal(ci)
    assert isinstance(deleted, PrincipalRecord)
    assert deleted.state is PrincipalState.DELETED
    record = await administration.find_key(key.kid)
    assert record is not None
    assert (record.state, record.lines) == (KeyState.REVOKED, ())
    assert await versions(administration) == {each: before[each] + 1 for each in before}
    assert await principals.list_principals(ORG) == []
    again = await administration.create_key(ONE, "", peppers=PEPPERS, principal_id=ci)
    assert again == UnknownPrincipal(ci)
    assert await principals.delete_principal("app_nobody") == UnknownPrincipal("app_nobody")


async def test_one_user_of_an_identity_provider_is_one_user_here(principals: Principals) -> None:
    async def known_as(issuer: str, name: str) -> PrincipalRecord | UnknownOrganisation | IdTaken:
        return await principals.create_principal("user", name, issuer=issuer, subject="anne")

    anne = await made(known_as("https://id.example.com", "anne"))
    assert await known_as("https://id.example.com", "again") == IdTaken("anne")
    assert [each.principal_id for each in await principals.list_principals(ORG)] == [anne]
    assert await made(known_as("https://other.example.com", "another anne")) != anne


async def test_a_principals_id_is_what_its_kind_says(principals: Principals) -> None:
    with pytest.raises(ValueError, match="'usr_x' is no id of an application"):
        await principals.create_principal("application", "x", with_id="usr_x")
    assert await made(principals.create_principal("user", "x", with_id="usr_x")) == "usr_x"
    assert await principals.create_principal("user", "y", with_id="usr_x") == IdTaken("usr_x")
    changed = await principals.change_principal("usr_x", name="z", default_project_id=ONE)
    assert isinstance(changed, PrincipalRecord)
    assert (changed.name, changed.default_project_id) == ("z", ONE)


async def test_a_key_for_which_nobody_names_a_bearer_is_its_projects_own(
    administration: Administration, principals: Principals, policies: Policies
) -> None:
    first = await issued(administration.create_key(ONE, "", peppers=PEPPERS))
    second = await issued(administration.create_key(ONE, "", peppers=PEPPERS))
    assert first.principal_id == second.principal_id == f"app_{ONE}"
    (line,) = first.lines
    assert line.permission_sets == {"GenerativeApisModelAccess"}
    assert line.scope == Projects(frozenset({ONE}))
    # What an operator has changed of it stays.
    await policies.create_policy("", principal_ids=[f"app_{ONE}"], rules=[], with_id=f"pol_{ONE}")
    third = await issued(administration.create_key(ONE, "", peppers=PEPPERS))
    assert third.lines == ()


async def test_all_keys_of_a_principal_are_revoked_at_once(
    administration: Administration,
) -> None:
    made = [await issued(administration.create_key(ONE, "", peppers=PEPPERS)) for _ in range(3)]
    revoked = await administration.revoke_keys_of(f"app_{ONE}")
    assert isinstance(revoked, list)
    assert {each.kid for each in revoked} == {each.kid for each in made}
    stored = await administration.list_keys(ONE)
    assert {each.state for each in stored} == {KeyState.REVOKED}
    assert await administration.revoke_keys_of("app_nobody") == UnknownPrincipal("app_nobody")


async def test_limits_of_a_key_lie_in_all_its_projects_those_to_come_as_well(
    administration: Administration, principals: Principals, policies: Policies, redis: Redis
) -> None:
    ci = await made(principals.create_principal("application", "ci"))
    limits = Limits(requests_per_minute=5)
    key = await issued(
        administration.create_key(ONE, "", peppers=PEPPERS, principal_id=ci, limits=limits)
    )

    async def limited() -> set[str]:
        ids = [each.project_id for each in await administration.list_projects()]
        return {each for each in ids if await redis.hexists(f"gw:{{{each}}}:cfg", f"k:{key.kid}")}

    assert await limited() == {ONE}
    await policies.create_policy("", principal_ids=[ci], rules=[rule()], with_id="pol_all")
    assert await limited() == {ONE, TWO}
    await administration.create_project("", NO_LIMITS, with_id="prj_number_three")
    assert await limited() == {ONE, TWO, "prj_number_three"}
    changed = await administration.set_key_limits(key.kid, {"requests_per_minute": None})
    assert isinstance(changed, KeyRecord)
    assert changed.limits == NO_LIMITS
    assert await limited() == set()
    assert await administration.find_key(key.kid) == changed


async def test_a_key_is_found_as_it_was_created(administration: Administration) -> None:
    created = await administration.create_key(
        ONE,
        "all of it",
        peppers=PEPPERS,
        expires_at=1_900_000_000,
        kind="admin",
        source_cidrs=Ranges.read(["10.0.0.0/8", "2001:db8::/32"]),
        limits=Limits(daily_tokens=5),
        managed=True,
    )
    assert isinstance(created, IssuedKey)
    assert created.token.startswith("gwa_")
    assert await administration.find_key(created.record.kid) == created.record
    assert await administration.list_keys() == [created.record]
