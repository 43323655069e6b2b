"""Who bears a token: found, cached, and never for longer than is right."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from redis.asyncio import Redis

from gateway.iam.address import Ranges, read_address
from gateway.iam.api_key import ENTROPY_BYTES, ApiKey, mint, parse
from gateway.iam.conditions import RequestFacts
from gateway.iam.decision import Allowed, Target, decide
from gateway.iam.policy import Organisation, Projects, Rule
from gateway.iam.providers import External
from gateway.iam.secret_hash import Peppers
from gateway.quota.limits import Limits
from gateway.quota.reservation import Reservation, Stale
from gateway.store.administration import Administration, IssuedKey, RevokedKey
from gateway.store.connection import connect
from gateway.store.directory import Bearer, Directory, Throttled, Unauthenticated
from gateway.store.errors import StoreUnavailable
from gateway.store.last_used import LastUsed
from gateway.store.ledger import RedisLedger
from gateway.store.policies import Policies
from gateway.store.principals import IdTaken, Principals, UnknownOrganisation
from gateway.store.records import PrincipalRecord, ProjectState
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


async def test_a_rotated_key_has_two_secrets_until_the_overlap_ends(
    directory: Directory, redis: Redis, key: IssuedKey, time: Time
) -> None:
    administration = Administration(redis)
    time.now = float((await redis.time())[0])
    assert isinstance(await directory.authenticate(parsed(key.token)), Bearer)
    newer = Peppers({1: b"p" * 32, 2: b"q" * 32})
    both = Directory(redis, newer, monotonic=time, unix_time=time)
    assert isinstance(await both.authenticate(parsed(key.token)), Bearer)
    rotated = await administration.rotate_key(key.record.kid, overlap_s=60, peppers=newer)
    assert isinstance(rotated, IssuedKey)
    assert rotated.record.hashed_secret.pepper_version == 2
    # What is cached knows the old secret only; so it is looked at again.
    assert isinstance(await both.authenticate(parsed(rotated.token)), Bearer)
    assert isinstance(await both.authenticate(parsed(key.token)), Bearer)
    time.now += 60
    assert await both.authenticate(parsed(key.token)) is Unauthenticated.WRONG_SECRET
    assert isinstance(await both.authenticate(parsed(rotated.token)), Bearer)

    again = await administration.rotate_key(key.record.kid, overlap_s=0, peppers=newer)
    assert isinstance(again, IssuedKey)
    time.now += 2
    assert isinstance(await both.authenticate(parsed(again.token)), Bearer)
    assert await both.authenticate(parsed(rotated.token)) is Unauthenticated.WRONG_SECRET
    with pytest.raises(ValueError, match="overlap by 0 to"):
        await administration.rotate_key(key.record.kid, overlap_s=-1, peppers=newer)
    await administration.revoke_key(key.record.kid)
    refused = await administration.rotate_key(key.record.kid, overlap_s=0, peppers=newer)
    assert refused == RevokedKey(key.record.kid)
    time.now += 60
    assert await both.authenticate(parsed(again.token)) is Unauthenticated.REVOKED


async def test_a_key_of_the_other_kind_is_refused_with_the_right_secret(
    directory: Directory, key: IssuedKey
) -> None:
    tenant = parsed(key.token)
    admin = ApiKey(tenant.kid, tenant.secret, "admin")
    assert await directory.authenticate(admin) is Unauthenticated.WRONG_SECRET


async def test_a_key_may_be_bound_to_addresses(
    directory: Directory, redis: Redis, create_project: CreateProject
) -> None:
    await create_project()
    bound = await Administration(redis).create_key(
        PROJECT, "", peppers=PEPPERS, source_cidrs=Ranges.read(["10.0.0.0/8"])
    )
    assert isinstance(bound, IssuedKey)
    token = parsed(bound.token)
    inside, outside = read_address("10.1.2.3"), read_address("192.0.2.1")
    assert isinstance(await directory.authenticate(token, address=inside), Bearer)
    for address in (outside, None):
        answer = await directory.authenticate(token, address=address)
        assert answer is Unauthenticated.WRONG_SOURCE


async def test_what_was_known_of_a_key_lets_it_in_for_an_hour_without_redis(
    tmp_path: Path, time: Time
) -> None:
    port = free_port()
    async with connect(f"redis://127.0.0.1:{port}") as client:
        directory = Directory(client, PEPPERS, monotonic=time, unix_time=time)
        with start_redis(port, tmp_path):
            administration = Administration(client)
            await administration.create_project("test", Limits(), with_id=PROJECT)
            issued = await administration.create_key(
                PROJECT, "", peppers=PEPPERS, expires_at=int(time.now) + 3000
            )
            other = await administration.create_key(PROJECT, "", peppers=PEPPERS)
            assert isinstance(issued, IssuedKey)
            assert isinstance(other, IssuedKey)
            assert not (await known(directory.authenticate(parsed(issued.token)))).is_stale
            stale = await known(directory.authenticate(parsed(other.token)))
        time.now += 100
        assert (await known(directory.authenticate(parsed(issued.token)))).is_stale
        wrong = ApiKey(issued.record.kid, "x" * 32)
        assert await directory.authenticate(wrong) is Unauthenticated.WRONG_SECRET
        # Nobody waits for Redis again and again.
        with anyio.fail_after(1):
            for _ in range(1000):
                await directory.authenticate(parsed(issued.token))
        time.now += 2900
        assert await directory.authenticate(parsed(issued.token)) is Unauthenticated.EXPIRED
        # What Redis has called stale is not used again.
        directory.invalidate(stale)
        with pytest.raises(StoreUnavailable):
            await directory.authenticate(parsed(other.token))
        time.now += 601
        with pytest.raises(StoreUnavailable):
            await directory.authenticate(parsed(issued.token))


async def test_a_flood_of_wrong_keys_costs_redis_nothing(
    directory: Directory, key: IssuedKey, counted: CountedRedis, time: Time
) -> None:
    assert isinstance(await directory.authenticate(parsed(key.token), source="a"), Bearer)
    asked = counted.commands
    answers = set[object]()
    for n in range(20_000):
        flood = mint(n.to_bytes(ENTROPY_BYTES, "little"))
        answer = await directory.authenticate(flood, source="a")
        answers.add(Throttled if isinstance(answer, Throttled) else answer)
    wrong = ApiKey(key.record.kid, "x" * 32)
    for _ in range(20_000):
        answers.add(await directory.authenticate(wrong, source="a"))
    assert answers == {Unauthenticated.UNKNOWN, Unauthenticated.WRONG_SECRET, Throttled}
    assert counted.commands - asked <= 20 + 3  # unknown keys, and once more the known one
    # Who is known is served from there as ever, and others are looked up.
    assert isinstance(await directory.authenticate(parsed(key.token), source="a"), Bearer)
    unknown = ApiKey("u" * 16, "x" * 32)
    assert await directory.authenticate(unknown, source="b") is Unauthenticated.UNKNOWN
    time.now += 1
    assert isinstance(await directory.authenticate(unknown, source="a"), Unauthenticated)


async def test_no_more_than_fifty_records_a_second_are_loaded_after_the_first_hundred(
    redis_port: int, time: Time
) -> None:
    async with CountedRedis(host="127.0.0.1", port=redis_port, max_connections=200) as client:
        CountedRedis.commands = 0
        directory = Directory(client, PEPPERS, monotonic=time, unix_time=time)
        refused = 0
        async with anyio.create_task_group() as tasks:

            async def one(n: int) -> None:
                nonlocal refused
                try:
                    flood = mint(n.to_bytes(ENTROPY_BYTES, "little"))
                    await directory.authenticate(flood, source=str(n))
                except StoreUnavailable:
                    refused += 1

            for n in range(1000):
                tasks.start_soon(one, n)
        # A burst of 100, and what may come within the second that a request waits at most.
        looked_up = 1000 - refused
        assert 149 <= looked_up <= 151
        assert CountedRedis.commands == looked_up


async def test_projects_that_no_policy_names_are_not_looked_for(
    directory: Directory, key: IssuedKey, counted: CountedRedis
) -> None:
    await directory.authenticate(parsed(key.token))
    asked = counted.commands
    for n in range(1000):
        bearer = await known(directory.authenticate(parsed(key.token), f"prj_guess_{n}"))
        assert bearer.project is None
    assert counted.commands == asked


async def test_a_project_of_another_organisation_is_nobodys(
    directory: Directory, redis: Redis, create_project: CreateProject
) -> None:
    await create_project()
    principals, administration = Principals(redis), Administration(redis)
    await principals.create_organisation("", with_id="org_other")
    await administration.create_project(
        "", Limits(), with_id="prj_theirs", organisation_id="org_other"
    )
    ci = await principals.create_principal("application", "", with_id="app_ci")
    assert not isinstance(ci, UnknownOrganisation | IdTaken)
    everything = Rule(frozenset({"AllProductsFullAccess"}), Organisation("org_default"))
    await Policies(redis).create_policy("", principal_ids=["app_ci"], rules=[everything])
    key = await administration.create_key(PROJECT, "", peppers=PEPPERS, principal_id="app_ci")
    assert isinstance(key, IssuedKey)
    mine = await known(directory.authenticate(parsed(key.token), PROJECT))
    assert mine.project is not None
    theirs = await known(directory.authenticate(parsed(key.token), "prj_theirs"))
    nobodys = await known(directory.authenticate(parsed(key.token), "prj_nobodys"))
    assert theirs.project is nobodys.project is None


async def test_users_of_an_identity_provider_are_found_by_what_it_calls_them(
    directory: Directory, redis: Redis, create_project: CreateProject, time: Time
) -> None:
    await create_project()
    issuer = "https://id.example.com"
    principals = Principals(redis)
    anne = await principals.create_principal(
        "user", "anne", issuer=issuer, subject="a1", default_project_id=PROJECT
    )
    assert isinstance(anne, PrincipalRecord)
    use = Rule(frozenset({"GenerativeApisModelAccess"}), Projects(frozenset({PROJECT})))
    await Policies(redis).create_policy("", principal_ids=[anne.principal_id], rules=[use])
    token = External(None, issuer, "a1", time.now + 60)
    bearer = await known(directory.authenticate_external(token))
    assert (bearer.kid, bearer.project_id) == (anne.principal_id, PROJECT)
    assert bearer.project is not None
    as_application = External(anne.principal_id, issuer, "", time.now + 60)
    assert (await known(directory.authenticate_external(as_application))).kid == bearer.kid
    for nobody in (External(None, issuer, "a2", 2e9), External(None, "https://x", "a1", 2e9)):
        assert await directory.authenticate_external(nobody) is Unauthenticated.UNKNOWN

    await principals.delete_principal(anne.principal_id)
    assert isinstance(await reserve(RedisLedger(redis, lease_ms=1000), "l", bearer), Stale)
    directory.invalidate(bearer)
    assert await directory.authenticate_external(token) is Unauthenticated.REVOKED
    time.now += 60
    assert await directory.authenticate_external(token) is Unauthenticated.EXPIRED


async def test_when_keys_were_last_used_is_written_to_the_minute_and_in_batches(
    redis: Redis, key: IssuedKey, counted: CountedRedis, time: Time
) -> None:
    last_used = LastUsed(counted, unix_time=time)
    directory = Directory(redis, PEPPERS, on_used=last_used.note, monotonic=time, unix_time=time)
    for _ in range(100):
        await directory.authenticate(parsed(key.token))
    await directory.authenticate(ApiKey(key.record.kid, "x" * 32))
    await last_used.write()
    await directory.authenticate(parsed(key.token))
    await last_used.write()
    assert counted.commands == 1
    record = await Administration(redis).find_key(key.record.kid)
    assert record is not None
    assert record.last_used_at == int(time.now) // 60 * 60


class RacingRedis(Redis):
    """Something happens before one of its commands."""

    before: dict[tuple[object, ...], Callable[[], Awaitable[object]]] = {}

    async def execute_command(self, *args: object, **options: object) -> object:
        happening = self.before.pop(args, None)
        if happening is not None:
            await happening()
        return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("which", ["the key", "the project"])
async def test_a_revocation_in_the_middle_of_a_look_up_is_not_missed(
    redis: Redis, key: IssuedKey, redis_port: int, which: str
) -> None:
    """Read in another order, a key that is revoked and a version that is new would be cached."""
    asked = {"the key": f"gw:key:{key.record.kid}", "the project": f"gw:{{{PROJECT}}}:cfg"}[which]

    async def revoke() -> None:
        await Administration(redis).revoke_key(key.record.kid)

    async with RacingRedis(host="127.0.0.1", port=redis_port) as racing:
        racing.before = {("HGETALL", asked): revoke}
        directory = Directory(racing, PEPPERS)
        answer = await directory.authenticate(parsed(key.token))
        assert racing.before == {}
    assert answer is Unauthenticated.REVOKED
