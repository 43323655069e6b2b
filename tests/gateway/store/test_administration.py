"""Projects and keys, as an operator changes them."""

from __future__ import annotations

import anyio
import pytest
from redis.asyncio import Redis

from gateway.iam.api_key import parse
from gateway.iam.secret_hash import Peppers
from gateway.quota.limits import Limits
from gateway.store.administration import (
    Administration,
    IssuedKey,
    ProjectExists,
    UnknownKey,
    UnknownProject,
)
from gateway.store.records import KeyState, ProjectConfig, ProjectState
from tests.gateway.store.conftest import PROJECT, CreateProject

PEPPERS = Peppers({1: b"p" * 32})
LIMITS = Limits(requests_per_minute=60, concurrent_requests=5)


async def test_a_project_is_found_as_it_was_created(redis: Redis) -> None:
    administration = Administration(redis)
    created = await administration.create_project("search", LIMITS)
    assert isinstance(created, ProjectConfig)
    assert await administration.find_project(created.project_id) == created
    assert await administration.list_projects() == [created]
    assert (created.version, created.state, created.limits) == (1, ProjectState.ACTIVE, LIMITS)


async def test_of_two_operators_with_the_same_id_one_creates_the_project(redis: Redis) -> None:
    administration = Administration(redis)
    answers = []

    async def create(name: str) -> None:
        answers.append(await administration.create_project(name, LIMITS, with_id=PROJECT))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(create, "anne's")
        tasks.start_soon(create, "bert's")
    (created,) = [answer for answer in answers if isinstance(answer, ProjectConfig)]
    assert [answer for answer in answers if answer is not created] == [ProjectExists(PROJECT)]
    assert await administration.list_projects() == [created]


async def test_a_project_id_that_would_leave_its_hash_tag_is_refused(redis: Redis) -> None:
    with pytest.raises(ValueError, match="is no project id"):
        await Administration(redis).create_project("evil", LIMITS, with_id="prj_test}:cfg")
    assert await Administration(redis).find_project("prj_test}:cfg") is None
    assert await redis.keys() == []


async def test_only_the_limits_that_are_named_change_and_the_version_rises(
    redis: Redis, create_project: CreateProject
) -> None:
    await create_project(requests_per_minute=60, tokens_per_minute=1000)
    administration = Administration(redis)
    changed = await administration.set_limits(
        PROJECT, {"requests_per_minute": None, "concurrent_requests": 5}
    )
    assert isinstance(changed, ProjectConfig)
    assert changed.limits == Limits(tokens_per_minute=1000, concurrent_requests=5)
    assert changed.version == 2
    with pytest.raises(ValueError, match="tokens_per_minute must be at least 1"):
        await administration.set_limits(PROJECT, {"tokens_per_minute": 0})
    assert await administration.find_project(PROJECT) == changed


async def test_a_key_is_kept_as_a_hash_of_its_secret(
    redis: Redis, create_project: CreateProject
) -> None:
    await create_project()
    issued = await Administration(redis).create_key(
        PROJECT, "ci", peppers=PEPPERS, expires_at=1_900_000_000
    )
    assert isinstance(issued, IssuedKey)
    key = parse(issued.token)
    assert key is not None
    assert await Administration(redis).find_key(key.kid) == issued.record
    assert issued.record.expires_at == 1_900_000_000
    assert PEPPERS.verify(key.secret, issued.record.hashed_secret)
    everything = [await redis.dump(name) for name in await redis.keys()]
    assert not any(key.secret.encode() in (dump or b"") for dump in everything)
    assert key.secret not in repr(issued)


async def test_keys_are_listed_by_project_and_revoked_ones_stay(
    redis: Redis, create_project: CreateProject
) -> None:
    await create_project()
    administration = Administration(redis)
    await administration.create_project("other", Limits(), with_id="prj_other")
    mine = await administration.create_key(PROJECT, "mine", peppers=PEPPERS)
    other = await administration.create_key("prj_other", "other", peppers=PEPPERS)
    assert isinstance(mine, IssuedKey)
    assert isinstance(other, IssuedKey)
    before = {each.project_id: each.version for each in await administration.list_projects()}
    revoked = await administration.revoke_key(mine.record.kid)
    assert await administration.list_keys(PROJECT) == [revoked]
    assert {record.name for record in await administration.list_keys()} == {"mine", "other"}
    stored = await administration.find_key(mine.record.kid)
    assert stored is not None
    assert stored.state is KeyState.REVOKED
    versions = {each.project_id: each.version for each in await administration.list_projects()}
    assert versions == {**before, PROJECT: before[PROJECT] + 1}


async def test_what_is_not_there_is_said_not_to_be_there(redis: Redis) -> None:
    administration = Administration(redis)
    assert await administration.create_key(PROJECT, "ci", peppers=PEPPERS) == UnknownProject(
        PROJECT
    )
    assert await administration.set_limits(PROJECT, {}) == UnknownProject(PROJECT)
    assert await administration.set_state(PROJECT, ProjectState.ACTIVE) == UnknownProject(PROJECT)
    assert await administration.revoke_key("nobody") == UnknownKey("nobody")
    assert await administration.list_keys("no such id!") == []
    assert await redis.keys() == []
