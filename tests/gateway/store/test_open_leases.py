"""Open leases are renewed with what they have used, and whoever does not know them is told."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
from redis.asyncio import Redis

from gateway.quota.reservation import RateLimitState, Reservation
from gateway.quota.usage import LeaseProgress, Usage
from gateway.store import keys
from gateway.store.errors import StoreUnavailable
from gateway.store.ledger import RedisLedger
from gateway.store.open_leases import OpenLeases
from tests.gateway.store.conftest import PROJECT, Clock, CreateProject, Reserve


async def admit(reserve: Reserve, lease_id: str) -> Reservation:
    reservation = await reserve(lease_id, 100)
    assert isinstance(reservation, Reservation)
    return reservation


async def test_a_renewal_tells_what_has_been_used_so_far(
    create_project: CreateProject, reserve: Reserve, ledger: RedisLedger, clock: Clock
) -> None:
    await create_project()
    leases = OpenLeases(ledger, interval_s=5)
    used = [Usage(0, 0, 0, 0)]
    with leases.held(await admit(reserve, "a"), lambda: used[0]):
        await leases.renew()
        await clock.advance(100)
        used[0] = Usage(100, 0, 40, 0)
        await leases.renew()
        await clock.advance(100)
        assert await ledger.reap(PROJECT) == []
    await leases.renew()  # it is held no more
    await clock.advance(121)
    (reaped,) = await ledger.reap(PROJECT)
    assert (reaped.lease_id, reaped.usage) == ("a", Usage(100, 0, 40, 0))


async def test_a_lease_that_has_ended_is_counted_and_served_on(
    create_project: CreateProject, reserve: Reserve, ledger: RedisLedger, redis: Redis
) -> None:
    await create_project()
    told: list[tuple[str, int]] = []
    leases = OpenLeases(ledger, interval_s=5, on_renewed=lambda *renewed: told.append(renewed))
    with leases.held(await admit(reserve, "a"), lambda: Usage(1, 0, 1, 0)):
        await redis.delete(keys.leases(PROJECT), keys.lease_ends(PROJECT))
        await leases.renew()
    assert told == [("renewed", 0), ("unknown", 1)]


async def test_a_project_whose_renewal_hangs_does_not_hold_up_the_others() -> None:
    class Half:
        def __init__(self) -> None:
            self.renewed: list[str] = []

        async def renew(self, project_id: str, progress: Sequence[LeaseProgress]) -> frozenset[str]:
            if project_id == "prj_slow":
                await anyio.sleep_forever()
            if project_id == "prj_away":
                raise StoreUnavailable("away")
            self.renewed.append(project_id)
            return frozenset()

    def reservation(project_id: str) -> Reservation:
        return Reservation(
            project_id, project_id, "kid", "m", 1, 1, 1, 0, 0, 197001, RateLimitState(None, None)
        )

    ledger, told = Half(), list[tuple[str, int]]()
    leases = OpenLeases(ledger, interval_s=5, on_renewed=lambda *renewed: told.append(renewed))
    with (
        leases.held(reservation("prj_slow"), lambda: Usage(1, 0, 1, 0)),
        leases.held(reservation("prj_away"), lambda: Usage(1, 0, 1, 0)),
        leases.held(reservation("prj_good"), lambda: Usage(1, 0, 1, 0)),
    ):
        await leases.renew()
    assert ledger.renewed == ["prj_good"]
    assert sorted(told) == [("failed", 1), ("failed", 1), ("renewed", 1), ("unknown", 0)]
