"""The audit log: whole, in order, and telling when somebody has changed it."""

from __future__ import annotations

from typing import Any

import anyio
from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.audit import Actor, AuditEntry, AuditLog, Change

ACTOR = Actor("bootstrap", "bootstrap", "127.0.0.1", None)


def change(number: int) -> Change:
    return Change(
        "project.updated", f"prj_number_{number}", "org_default", None, None, {"n": number}
    )


def every(entry: AuditEntry) -> bool:
    return True


async def test_as_storedare_read_newest_first_and_in_pages(redis: Redis) -> None:
    told: list[AuditEntry] = []
    log = AuditLog(redis, on_appended=told.append)
    for number in range(5):
        await log.append(ACTOR, change(number))
    assert [entry.change for entry in told] == [change(number) for number in range(5)]
    page = await log.page(every, count=2)
    assert page == told[:2:-1]
    assert await log.page(every, before=page[-1].entry_id) == told[2::-1]
    (found,) = await log.page(lambda entry: entry.change.target == "prj_number_1")
    assert found == told[1]


async def test_many_that_write_at_once_make_one_chain(redis: Redis) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(AuditLog(redis).append, ACTOR, change(number))
    found = await AuditLog(redis).verify()
    assert (found.entries, found.broken_at) == (10, None)


async def test_an_entry_that_was_changed_or_taken_out_is_found(redis: Redis) -> None:
    log = AuditLog(redis)
    entries = [await log.append(ACTOR, change(number)) for number in range(4)]
    assert (await log.verify()).last_hash == entries[-1].hash

    await redis.xdel(keys.AUDIT, entries[1].entry_id)
    assert (await log.verify()).broken_at == entries[2].entry_id

    await redis.delete(keys.AUDIT)
    first = await log.append(ACTOR, change(0))
    as_stored: Any = await redis.xrange(keys.AUDIT)
    stored = as_stored[0][1]
    await redis.delete(keys.AUDIT)
    changed = stored[b"e"].replace(b"prj_number_0", b"prj_number_9")
    await redis.xadd(keys.AUDIT, {"e": changed, "h": stored[b"h"]}, id=first.entry_id)
    assert (await log.verify()).broken_at == first.entry_id
