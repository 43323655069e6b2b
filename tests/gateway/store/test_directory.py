"""Who bears a token: found, cached, and never for longer than is right."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import anyio
import pytest
from redis.asyncio import Redis

from gateway.iam.api_key import ApiKey, parse
from gateway.iam.conditions import RequestFacts
from gateway.iam.decision import Allowed, Target, decide
from gateway.iam.secret_hash import Peppers
from gateway.quota.limits import Limits
from gateway.quota.reservation import Reservation, Stale
from gateway.store.administration import Administration, IssuedKey
from gateway.store.connection import connect
from gateway.store.directory import Bearer, Directory, Throttled, Unauthenticated
from gateway.store.errors import StoreUnavailable
from gateway.store.ledger import RedisLedger
from gateway.store.records import ProjectState
from tests.gateway.store.conftest import PROJECT, CreateProject
from tests.stack.process import free_port
from tests.stack.redis import start_redis

PEPPERS = Peppers({1: b"p" * 32})


class Time:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class CountedRedis(Redis):
    """Counts what it is asked, and waits before it answers if told to."""

    commands = 0
    gate: anyio.Event | None = None

    async def execute_command(self, *args: object, **options: object) -> object:
        type(self).commands += 1
        if self.gate is not None:
            await self.gate.wait()
        return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def counted(redis_port: int) -> AsyncIterator[CountedRedis]:
    CountedRedis.commands = 0
    async with CountedRedis(host="127.0.0.1", port=redis_port) as client:
        yield client


@pytest.fixture
def directory(counted: CountedRedis, time: Time) -> Directory:
    return Directory(counted, PEPPERS, cache_s=10, monotonic=time, unix_time=time)


@pytest.fixture
async def key(redis: Redis, create_project: CreateProject) -> IssuedKey:
    await create_project(requests_per_minute=60)
    issued = await Administration(redis).create_key(PROJECT, "ci", peppers=PEPPERS)
    assert isinstance(issued, IssuedKey)
    return issued


def parsed(token: str) -> ApiKey:
    key = parse(token)
    assert key is not None
    return key


async def known(answer: Awaitable[Bearer | Unauthenticated | Throttled]) -> Bearer:
    bearer = await answer
    assert isinstance(bearer, Bearer)
    return bearer


async def test_a_key_is_granted_its_project(
    directory: Directory, key: IssuedKey, time: Time
) -> None:
    bearer = await known(directory.authenticate(parsed(key.token)))
    assert (bearer.kid, bearer.project_id) == (key.record.kid, PROJECT)
    assert bearer.project is not None
    assert bearer.project.limits == Limits(requests_per_minute=60)
    target = Target(bearer.organisation_id, PROJECT)
    assert isinstance(decide(bearer.grant, "model:use", target, RequestFacts(time())), Allowed)


async def test_a_cached_key_is_not_looked_up_again_until_its_time_is_over(
    directory: Directory, key: IssuedKey, counted: CountedRedis, time: Time
) -> None:
    first = await directory.authenticate(parsed(key.token))
    asked = counted.commands
    assert await directory.authenticate(parsed(key.token)) == first
    assert counted.commands == asked
    time.now += 10
    assert await directory.authenticate(parsed(key.token)) == first
    assert counted.commands == 2 * asked


async def test_a_wrong_secret_is_refused_cached_or_not(
    directory: Directory, key: IssuedKey
) -> None:
    wrong = ApiKey(key.record.kid, "x" * 32)
    assert await directory.authenticate(wrong) is Unauthenticated.WRONG_SECRET
    assert isinstance(await directory.authenticate(parsed(key.token)), Bearer)
    assert await directory.authenticate(wrong) is Unauthenticated.WRONG_SECRET


async def test_an_unknown_key_is_looked_up_once_in_five_seconds(
    directory: Directory, redis: Redis, counted: CountedRedis, time: Time
) -> None:
    unknown = ApiKey("u" * 16, "x" * 32)
    for _ in range(3):
        assert await directory.authenticate(unknown) is Unauthenticated.UNKNOWN
    assert counted.commands == 1
    time.now += 5
    assert await directory.authenticate(unknown) is Unauthenticated.UNKNOWN
    assert counted.commands == 2


async def test_a_key_expires_on_time_even_when_it_is_cached(
    directory: Directory, redis: Redis, create_project: CreateProject, time: Time
) -> None:
    await create_project()
    issued = await Administration(redis).create_key(
        PROJECT, "short", peppers=PEPPERS, expires_at=int(time.now) + 5
    )
    assert isinstance(issued, IssuedKey)
    time.now += 4.9
    assert isinstance(await directory.authenticate(parsed(issued.token)), Bearer)
    time.now += 0.1
    assert await directory.authenticate(parsed(issued.token)) is Unauthenticated.EXPIRED


async def test_a_revoked_key_stops_with_the_next_request_on_every_gateway(
    directory: Directory, redis: Redis, key: IssuedKey, time: Time
) -> None:
    other = Directory(redis, PEPPERS, monotonic=time, unix_time=time)
    gateways = [directory, other]
    ledger = RedisLedger(redis, lease_ms=120_000)
    for n, gateway in enumerate(gateways):
        grant = await known(gateway.authenticate(parsed(key.token)))
        assert isinstance(await reserve(ledger, f"before{n}", grant), Reservation)
    await Administration(redis).revoke_key(key.record.kid)
    for n, gateway in enumerate(gateways):
        cached = await known(gateway.authenticate(parsed(key.token)))
        assert await reserve(ledger, f"after{n}", cached) == Stale()
        gateway.invalidate(cached)
        assert await gateway.authenticate(parsed(key.token)) is Unauthenticated.REVOKED


async def test_a_disabled_project_is_refused_with_the_next_request_until_it_is_enabled(
    directory: Directory, redis: Redis, key: IssuedKey, time: Time
) -> None:
    administration, ledger = Administration(redis), RedisLedger(redis, lease_ms=120_000)
    grant = await known(directory.authenticate(parsed(key.token)))
    await administration.set_state(PROJECT, ProjectState.DISABLED)
    cached = await known(directory.authenticate(parsed(key.token)))
    assert cached == grant
    assert await reserve(ledger, "while disabled", cached) == Stale()
    directory.invalidate(cached)
    reloaded = await known(directory.authenticate(parsed(key.token)))
    assert reloaded.project is None

    await administration.set_state(PROJECT, ProjectState.ACTIVE)
    time.now += 10
    enabled = await known(directory.authenticate(parsed(key.token)))
    assert enabled.project is not None
    assert isinstance(await reserve(ledger, "enabled", enabled), Reservation)


async def reserve(ledger: RedisLedger, lease_id: str, bearer: Bearer) -> object:
    assert bearer.project is not None
    return await ledger.reserve(
        lease_id=lease_id,
        project_id=PROJECT,
        config_version=bearer.project.version,
        kid=bearer.kid,
        model="gpt-oss-120b",
        input_tokens=1,
        output_tokens=1,
        max_output_tokens=1,
        clampable=False,
    )


@pytest.mark.parametrize("gone", ["disabled", "deleted"])
async def test_a_project_that_is_disabled_or_deleted_is_forbidden(
    directory: Directory, redis: Redis, key: IssuedKey, gone: str
) -> None:
    if gone == "disabled":
        await Administration(redis).set_state(PROJECT, ProjectState.DISABLED)
    else:
        await redis.delete(f"gw:{{{PROJECT}}}:cfg")
    for asked in (None, PROJECT):
        bearer = await known(directory.authenticate(parsed(key.token), asked))
        assert (bearer.project_id, bearer.project) == (PROJECT, None)


async def test_a_thousand_first_requests_of_a_key_are_one_look_up(
    directory: Directory, key: IssuedKey, counted: CountedRedis
) -> None:
    answers: list[Bearer | Unauthenticated | Throttled] = []

    async def one() -> None:
        answers.append(await directory.authenticate(parsed(key.token)))

    async with anyio.create_task_group() as tasks:
        for _ in range(1000):
            tasks.start_soon(one)
    assert len(answers) == 1000
    assert all(isinstance(answer, Bearer) for answer in answers)
    assert counted.commands == 3  # key, project, key


async def test_when_the_client_that_looks_up_leaves_another_takes_over(
    directory: Directory, key: IssuedKey, counted: CountedRedis
) -> None:
    counted.gate = anyio.Event()
    answers: list[Bearer | Unauthenticated | Throttled] = []

    async def one() -> None:
        answers.append(await directory.authenticate(parsed(key.token)))

    async with anyio.create_task_group() as tasks:
        leaving = anyio.CancelScope()

        async def leave() -> None:
            with leaving:
                await one()

        tasks.start_soon(leave)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(one)
        tasks.start_soon(one)
        await anyio.wait_all_tasks_blocked()
        leaving.cancel()
        await anyio.wait_all_tasks_blocked()
        counted.gate.set()
    assert len(answers) == 2
    assert all(isinstance(answer, Bearer) for answer in answers)


async def test_without_redis_a_cached_key_is_good_and_another_is_not_called_bad(
    tmp_path: Path, time: Time
) -> None:
    port = free_port()
    async with connect(f"redis://127.0.0.1:{port}") as client:
        directory = Directory(client, PEPPERS, monotonic=time, unix_time=time)
        with start_redis(port, tmp_path):
            administration = Administration(client)
            await administration.create_project("test", Limits(), with_id=PROJECT)
            issued = await administration.create_key(PROJECT, "ci", peppers=PEPPERS)
            assert isinstance(issued, IssuedKey)
            assert isinstance(await directory.authenticate(parsed(issued.token)), Bearer)
        assert isinstance(await directory.authenticate(parsed(issued.token)), Bearer)
        unseen = ApiKey("u" * 16, "x" * 32)
        answers: list[str] = []

        async def one() -> None:
            with pytest.raises(StoreUnavailable):
                await directory.authenticate(unseen)
            answers.append("unavailable")

        with anyio.fail_after(2):  # not one time-out after the other
            async with anyio.create_task_group() as tasks:
                for _ in range(100):
                    tasks.start_soon(one)
        assert len(answers) == 100
