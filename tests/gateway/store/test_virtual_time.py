"""How far a project has been served, which gateways learn with each reservation."""

from __future__ import annotations

import itertools

import pytest

from gateway.quota.reservation import Reservation
from gateway.quota.service_tier import ServiceTier
from gateway.quota.usage import Usage
from gateway.scheduling.service import virtual_time
from gateway.store.ledger import RedisLedger
from tests.gateway.store.conftest import KID, MODEL, PROJECT, CreateProject

USAGE = Usage(1000, 200, 40, 0)
SERVED = virtual_time(ServiceTier.DEFAULT, USAGE)


class Tenant:
    """Asks for the project PROJECT."""

    def __init__(self, ledger: RedisLedger) -> None:
        self.ledger = ledger
        self._numbers = itertools.count()

    async def reserve(
        self, *, tier: ServiceTier = ServiceTier.DEFAULT, floor: int = 0, lease_id: str = ""
    ) -> Reservation:
        answer = await self.ledger.reserve(
            lease_id=lease_id or f"lease{next(self._numbers)}",
            project_id=PROJECT,
            config_version=1,
            kid=KID,
            model=MODEL,
            input_tokens=1000,
            output_tokens=100,
            max_output_tokens=100,
            clampable=False,
            tier=tier,
            floor=floor,
        )
        assert isinstance(answer, Reservation)
        return answer

    async def told(self, tier: ServiceTier = ServiceTier.DEFAULT) -> int | None:
        return (await self.reserve(tier=tier)).virtual_time


@pytest.fixture
async def tenant(ledger: RedisLedger, create_project: CreateProject) -> Tenant:
    await create_project()
    return Tenant(ledger)


async def test_what_was_served_is_told_with_the_next_reservation(tenant: Tenant) -> None:
    reservation = await tenant.reserve()
    assert reservation.virtual_time == 0
    assert await tenant.told() == 0, "the first is not settled yet"
    await tenant.ledger.settle(reservation, USAGE, status="completed")
    assert await tenant.told() == SERVED


async def test_what_is_settled_twice_counts_once(tenant: Tenant) -> None:
    reservation = await tenant.reserve()
    for _ in range(2):
        await tenant.ledger.settle(reservation, USAGE, status="completed")
    assert await tenant.told() == SERVED


async def test_each_tier_has_a_clock_of_its_own(tenant: Tenant) -> None:
    flex = await tenant.reserve(tier=ServiceTier.FLEX)
    await tenant.ledger.settle(flex, USAGE, status="completed")
    assert await tenant.told(ServiceTier.FLEX) == 4 * SERVED
    assert await tenant.told(ServiceTier.DEFAULT) == 0


async def test_a_project_that_was_idle_is_lifted_and_never_put_back(tenant: Tenant) -> None:
    assert (await tenant.reserve(floor=5000)).virtual_time == 5000
    assert (await tenant.reserve(floor=3000)).virtual_time == 5000
    assert (await tenant.reserve(floor=2**50)).virtual_time == 2**50, "exact, also after years"
    assert await tenant.told() == 2**50


async def test_asked_again_the_same_is_told(tenant: Tenant) -> None:
    first = await tenant.reserve(lease_id="a", floor=70)
    assert await tenant.reserve(lease_id="a", floor=70) == first
