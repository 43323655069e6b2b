"""The user that the gateway is in Redis: it can do what the gateway does, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from gateway.iam import api_key
from gateway.iam.secret_hash import Peppers
from gateway.quota.limits import Limits
from gateway.quota.reservation import Reservation
from gateway.quota.usage import LeaseProgress, Usage
from gateway.store.acl import COMMANDS as ALLOWED
from gateway.store.acl import CONNECTION, acl_rules
from gateway.store.administration import Administration, IssuedKey
from gateway.store.audit import Actor, AuditLog, Change
from gateway.store.books import Books
from gateway.store.connection import Store, connect
from gateway.store.directory import Bearer, Directory
from gateway.store.identity import StoreIdentity
from gateway.store.leased_projects import LeasedProjects, part_of
from gateway.store.ledger import RedisLedger
from gateway.store.policies import Policies
from gateway.store.principals import Principals
from gateway.store.records import ProjectConfig
from gateway.store.replicas import Replicas
from gateway.store.standing import Standings

STORE = Path("gateway/store")
PEPPERS = Peppers({1: b"p" * 32})


@pytest.fixture
async def ours(redis: Redis, redis_port: int) -> Store:
    await redis.acl_deluser("gateway")
    await redis.execute_command(  # type: ignore[no-untyped-call]
        "ACL", "SETUSER", "gateway", "on", ">secret", *acl_rules().split()
    )
    return connect(f"redis://gateway:secret@127.0.0.1:{redis_port}/0", timeout_s=5)


def test_every_command_that_is_used_is_allowed_and_none_besides() -> None:
    used = {"evalsha", "script|load"}
    for script in STORE.rglob("*.lua"):
        used |= {each.lower() for each in re.findall(r"redis\.call\('(\w+)'", script.read_text())}
    renamed = {"delete": "del"}
    for module in STORE.glob("*.py"):
        for name in re.findall(r"(?:_redis|pipeline|_store)\.([a-z_]+)\(", module.read_text()):
            if name not in ("register_script", "pipeline", "execute", "aclose"):
                used.add(renamed.get(name, name))
    assert used - set(CONNECTION) == set(ALLOWED)


async def test_the_gateway_does_its_work_as_this_user(ours: Store) -> None:
    async with ours:
        administration = Administration(ours)
        project = await administration.create_project("a", Limits(daily_tokens=1000))
        assert isinstance(project, ProjectConfig)
        project_id = project.project_id
        issued = await administration.create_key(
            project_id, "a", peppers=PEPPERS, limits=Limits(concurrent_requests=2)
        )
        assert isinstance(issued, IssuedKey)
        key = api_key.parse(issued.token)
        assert key is not None
        bearer = await Directory(ours, PEPPERS).authenticate(key)
        assert isinstance(bearer, Bearer)
        assert bearer.project is not None
        projects, ledger = LeasedProjects(ours), RedisLedger(ours, lease_ms=1)
        await projects.add(project_id)
        for lease_id in ("a", "b"):
            reservation = await ledger.reserve(
                lease_id=lease_id,
                project_id=project_id,
                config_version=bearer.project.version,
                kid=key.kid,
                model="m",
                input_tokens=10,
                output_tokens=10,
                max_output_tokens=20,
                clampable=False,
            )
            assert isinstance(reservation, Reservation)
            progress = LeaseProgress(lease_id, key.kid, Usage(10, 0, 5, 0))
            await ledger.renew(project_id, [progress])
            if lease_id == "a":
                await ledger.settle(reservation, Usage(10, 0, 5, 0), status="completed")
        while not await ledger.reap(project_id):
            pass
        await ledger.release(project_id=project_id, lease_id="c", kid=key.kid)
        assert (await Books(ours).audit(project_id)).differences == ()
        await Standings(ours).read(project_id)
        await Standings(ours).leases(project_id)
        await StoreIdentity(ours).ask()
        await Replicas(ours).announce()
        await Replicas(ours).leave()
        assert await projects.claim(part_of(project_id), period_ms=1000)
        assert await projects.of(part_of(project_id)) == [project_id]
        await projects.forget_if_quiet(project_id)
        await AuditLog(ours).append(Actor("k", "p", None, None), Change("x", "y", "org_default"))
        assert (await AuditLog(ours).verify()).broken_at is None
        await Principals(ours).create_principal("user", "u", issuer="https://id", subject="s")
        (policy,) = await Policies(ours).list_policies("org_default")
        await Policies(ours).delete_policy("org_default", policy.policy_id)
        await administration.rotate_key(key.kid, overlap_s=1, peppers=PEPPERS)
        await administration.revoke_key(key.kid)
        assert len(await administration.list_projects()) == 1
        assert len(await administration.list_keys()) == 1


@pytest.mark.parametrize(
    "command",
    [
        "EVAL return(1) 0",
        "KEYS *",
        "SCAN 0",
        "CONFIG GET requirepass",
        "CONFIG SET dir /tmp",
        "FLUSHALL",
        "FLUSHDB",
        "ACL LIST",
        "SCRIPT FLUSH",
        "FUNCTION LIST",
        "DEBUG SLEEP 0",
        "SHUTDOWN",
        "REPLICAOF NO ONE",
        "MONITOR",
        "XTRIM gw:audit MAXLEN 0",
        "XDEL gw:audit 0-1",
        "RENAME gw:audit gw:x",
        "MIGRATE localhost 1 gw:audit 0 1",
        "GET other",
        "HSET other a b",
        "DEL other",
        "PUBLISH gw:x y",
    ],
)
async def test_whatever_else_there_is_it_may_not(ours: Store, command: str) -> None:
    async with ours:
        with pytest.raises(
            (NoPermissionError, ResponseError), match=r"(?i)permission|unknown|not allowed"
        ):
            await ours.execute_command(*command.split())  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "script",
    [
        "return redis.call('FLUSHALL')",
        "return redis.call('CONFIG', 'GET', '*')",
        "return redis.call('GET', 'other')",
        "return redis.call('EVAL', 'return 1', 0)",
    ],
)
async def test_nor_may_a_script_of_its_own(ours: Store, script: str) -> None:
    async with ours:
        with pytest.raises(
            ResponseError, match=r"(?i)acl|permission|can't (run|access)|not allowed"
        ):
            await ours.register_script(script)()
