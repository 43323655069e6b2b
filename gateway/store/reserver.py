"""Reserve, and take back what may have been reserved without our knowing.

A reserve that times out may have happened, or may yet happen when a frozen Redis
thaws: nobody would settle it, and it would hold a place of its project's
concurrency until it expires. So it is released as soon as Redis answers again.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol, Unpack

import anyio

from gateway.quota.limits import Quota
from gateway.quota.reservation import RateLimitState, Refused, Reservation, Stale
from gateway.store.errors import StoreUnavailable
from gateway.store.guard import Guard, Unguarded
from gateway.store.reserve_request import ReserveRequest

_log = logging.getLogger(__name__)

BACKOFF_S = 1.0
# For both attempts together: what a request waits for Redis at most.
PATIENCE_S = 0.1
# The oldest are forgotten beyond this: leases expire by themselves in the end.
MAX_WAITING = 10_000


class Projects(Protocol):
    async def add(self, project_id: str) -> None: ...


class Ledger(Protocol):
    async def reserve(self, **request: Unpack[ReserveRequest]) -> Reservation | Refused | Stale: ...

    async def release(self, *, project_id: str, lease_id: str, kid: str) -> None: ...

    async def rate_limits_if_current(
        self, project_id: str, *, kid: str, config_version: int
    ) -> RateLimitState | Stale: ...


class Local(Protocol):
    def reserve(self, request: ReserveRequest) -> Reservation | Refused: ...


class Reserver:
    """The app starts `run()` in its task group."""

    def __init__(
        self,
        ledger: Ledger,
        projects: Projects,
        *,
        guard: Guard | None = None,
        local: Local | None = None,
        may_admit: Callable[[], bool] = lambda: True,
        on_reserved: Callable[[str, str], None] = lambda project_id, kid: None,
        on_refused: Callable[[str, Quota], None] = lambda project_id, quota: None,
    ) -> None:
        """*projects*: the list that reapers look through. *local*: who admits while Redis does
        not answer; nobody if it is None. *may_admit*: whether what is admitted now could be
        charged later. *on_reserved* is told whose request Redis has admitted, *on_refused* whose was
        refused by which quota, here or there."""
        self._ledger = ledger
        self._projects = projects
        self._guard = guard or Unguarded()
        self._local = local
        self._may_admit = may_admit
        self._on_reserved = on_reserved
        self._on_refused = on_refused
        self._waiting: OrderedDict[str, ReserveRequest] = OrderedDict()  # by lease id
        self._something_waits = anyio.Event()

    @property
    def waiting(self) -> int:
        """How many leases are yet to be released."""
        return len(self._waiting)

    async def reserve(self, **request: Unpack[ReserveRequest]) -> Reservation | Refused | Stale:
        """As `RedisLedger.reserve`, within PATIENCE_S. Raises StoreUnavailable."""
        answer = await self._reserve(request)
        if isinstance(answer, Refused):
            self._on_refused(request["project_id"], answer.quota)
        return answer

    async def _reserve(self, request: ReserveRequest) -> Reservation | Refused | Stale:
        if not self._may_admit():
            raise StoreUnavailable("no more settlements can be kept")
        was_asked = not self._guard.is_open
        try:
            with self._guard.call(PATIENCE_S):
                # Before there is a lease: one that nobody can find would never be reaped.
                await self._projects.add(request["project_id"])
                answer = await self._ledger.reserve(**request)
        except StoreUnavailable:
            local = self._admitted_here(request)
            # One that is served is settled, and its lease ends with that if there is one.
            if not isinstance(local, Reservation) and was_asked:
                self._release_later(request)
            if local is None:
                raise
            return local
        if isinstance(answer, Reservation):
            self._on_reserved(request["project_id"], request["kid"])
        return answer

    async def is_current(self, project_id: str, *, kid: str, config_version: int) -> bool:
        """Whether the project's configuration is the one of *config_version*.

        Yes while Redis does not answer: nobody has heard of another one.
        """
        try:
            told = await self._ledger.rate_limits_if_current(
                project_id, kid=kid, config_version=config_version
            )
        except StoreUnavailable:
            return True
        return not isinstance(told, Stale)

    def _admitted_here(self, request: ReserveRequest) -> Reservation | Refused | None:
        """None: only Redis could say."""
        if self._local is None:
            return None
        try:
            return self._local.reserve(request)
        except StoreUnavailable as exc:
            _log.info("%s", exc)
            return None

    def _release_later(self, request: ReserveRequest) -> None:
        self._waiting[request["lease_id"]] = request
        if len(self._waiting) > MAX_WAITING:
            self._waiting.popitem(last=False)
        self._something_waits.set()

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
