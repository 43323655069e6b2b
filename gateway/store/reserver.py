"""Reserve, and take back what may have been reserved without our knowing.

A reserve that times out may have happened, or may yet happen when a frozen Redis
thaws: nobody would settle it, and it would hold a place of its project's
concurrency until it expires. So it is released as soon as Redis answers again.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol, TypedDict, Unpack

import anyio

from gateway.quota.reservation import Refused, Reservation, Stale
from gateway.store.errors import StoreUnavailable

_log = logging.getLogger(__name__)

BACKOFF_S = 1.0
# The oldest are forgotten beyond this: leases expire by themselves in the end.
MAX_WAITING = 10_000


class Request(TypedDict):
    """What `RedisLedger.reserve` takes."""

    lease_id: str
    project_id: str
    config_version: int
    kid: str
    model: str
    input_tokens: int
    output_tokens: int
    max_output_tokens: int
    clampable: bool


class Projects(Protocol):
    async def add(self, project_id: str) -> None: ...


class Ledger(Protocol):
    async def reserve(self, **request: Unpack[Request]) -> Reservation | Refused | Stale: ...

    async def release(self, *, project_id: str, lease_id: str, kid: str) -> None: ...


class Reserver:
    """The app starts `run()` in its task group."""

    def __init__(
        self, ledger: Ledger, projects: Projects, *, may_admit: Callable[[], bool] = lambda: True
    ) -> None:
        """*projects*: the list that reapers look through. *may_admit*: whether what is
        admitted now could be charged later."""
        self._ledger = ledger
        self._projects = projects
        self._may_admit = may_admit
        self._waiting: OrderedDict[str, Request] = OrderedDict()  # by lease id
        self._something_waits = anyio.Event()

    @property
    def waiting(self) -> int:
        """How many leases are yet to be released."""
        return len(self._waiting)

    async def reserve(self, **request: Unpack[Request]) -> Reservation | Refused | Stale:
        """As `RedisLedger.reserve`. Raises StoreUnavailable."""
        if not self._may_admit():
            raise StoreUnavailable("no more settlements can be kept")
        # Before there is a lease: one that nobody can find would never be reaped.
        await self._projects.add(request["project_id"])
        try:
            return await self._ledger.reserve(**request)
        except StoreUnavailable:
            self._waiting[request["lease_id"]] = request
            if len(self._waiting) > MAX_WAITING:
                self._waiting.popitem(last=False)
            self._something_waits.set()
            raise

    async def run(self) -> None:
        """Release what waits, until there is nothing. Ends only by cancellation."""
        while True:
            await self._something_waits.wait()
            while self._waiting:
                lease_id, request = next(iter(self._waiting.items()))
                try:
                    await self._ledger.release(
                        project_id=request["project_id"], lease_id=lease_id, kid=request["kid"]
                    )
                except StoreUnavailable as exc:
                    _log.warning("%d leases wait to be released: %s", len(self._waiting), exc)
                    await anyio.sleep(BACKOFF_S)
                else:
                    self._waiting.pop(lease_id, None)
            self._something_waits = anyio.Event()
