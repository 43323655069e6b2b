"""Settlements that always arrive: what Redis cannot take now is said again until it has.

A settlement is idempotent by its response id, so "again" is always safe: after a
lost reply it is a duplicate, after a failover it re-applies what was lost.

The memory of this process is all there is between a settlement and Redis. What
is still here when the process is killed is not charged.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import anyio

from gateway.quota.reservation import Reservation
from gateway.quota.usage import Usage
from gateway.store.errors import StoreUnavailable
from gateway.store.ledger import Verdict

_log = logging.getLogger(__name__)

FIRST_ATTEMPT_S = 0.15
MIN_BACKOFF_S = 0.1
MAX_BACKOFF_S = 5.0
MAX_PENDING = 100_000
SAYERS = 16  # at once: 100,000 that wait are said in seconds
# Less than the marker of settle.lua lives: later, a settlement that had arrived
# after all would be charged twice.
MAX_AGE_S = 24 * 60 * 60


class Ledger(Protocol):
    """What settlements are said to."""

    async def settle(self, reservation: Reservation, usage: Usage, *, status: str) -> Verdict: ...


@dataclass(frozen=True, slots=True)
class Settlement:
    """One response and what it has used."""

    reservation: Reservation
    usage: Usage
    status: str
    made_at: float  # monotonic, in seconds


class Settler:
    """Settles responses, now or as soon as Redis is back.

    The app starts `run()` in its task group, calls `settle()` for every response
    and `flush()` last of all.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        max_pending: int = MAX_PENDING,
        on_pending: Callable[[int], None] = lambda pending: None,
        on_dropped: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*on_pending* is told how many wait, whenever that changes; *on_dropped*, that one is lost."""
        self._ledger = ledger
        self._max_pending = max_pending
        self._clock = clock
        self._on_pending = on_pending
        self._on_dropped = on_dropped
        self._waiting: OrderedDict[str, Settlement] = OrderedDict()  # by response id
        self._something_waits = anyio.Event()

    @property
    def pending(self) -> int:
        """How many settlements are not yet in Redis."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """No more can be kept: whoever admits requests now gives them away."""
        return len(self._waiting) >= self._max_pending

    async def settle(self, reservation: Reservation, usage: Usage, *, status: str) -> None:
        """Charge a response for its *usage*; at once if Redis answers, else later.

        Takes 150 ms at most and raises nothing. If it is cancelled, the settlement
        is kept.
        """
        settlement = Settlement(reservation, usage, status, self._clock())
        acknowledged = False
        try:
            # Others wait: Redis was away a moment ago, so do not hold up the caller.
            if not self._waiting:
                with anyio.move_on_after(FIRST_ATTEMPT_S):
                    acknowledged = await self._say(settlement)
        finally:
            if not acknowledged:
                self._keep(settlement)

    async def run(self) -> None:
        """Say what waits again, oldest first, until it is acknowledged. Ends only by cancellation."""
        while True:
            await self._something_waits.wait()
            await self._say_all()

    async def flush(self, deadline_s: float) -> int:
        """Say what waits, for *deadline_s* seconds at most. Returns how many are left: lost."""
        with anyio.move_on_after(deadline_s, shield=True):
            await self._say_all()
        left = list(self._waiting.values())
        for settlement in left:
            self._lose(settlement, "the gateway ends")
        return len(left)

    async def _say_all(self) -> None:
        backoff_s = MIN_BACKOFF_S
        while self._waiting:
            batch = list(itertools.islice(self._waiting.values(), SAYERS))
            acknowledged: list[Settlement] = []

            async def say(settlement: Settlement, into: list[Settlement] = acknowledged) -> None:
                if await self._say(settlement):
                    into.append(settlement)

            async with anyio.create_task_group() as tasks:
                for settlement in batch:
                    tasks.start_soon(say, settlement)
            for settlement in acknowledged:
                self._forget(settlement)
            self._put_off([settlement for settlement in batch if settlement not in acknowledged])
            if acknowledged:
                backoff_s = MIN_BACKOFF_S
            else:
                await anyio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)

    def _put_off(self, refused: Sequence[Settlement]) -> None:
        """To the end of the line: one that Redis refuses must not stop the others. They
        are sums, so their order changes nothing."""
        for settlement in refused:
            response_id = settlement.reservation.lease_id
            if response_id not in self._waiting:
                continue
            if self._clock() - settlement.made_at > MAX_AGE_S:
                self._lose(settlement, "Redis was away for too long")
            else:
                self._waiting.move_to_end(response_id)

    async def _say(self, settlement: Settlement) -> bool:
        """Whether Redis has acknowledged it."""
        try:
            verdict = await self._ledger.settle(
                settlement.reservation,
                settlement.usage,
                status=settlement.status,
            )
        except StoreUnavailable as exc:
            _log.warning("settlement of %s waits: %s", settlement.reservation.lease_id, exc)
            return False
        except Exception:  # noqa: BLE001
            # A bug, in this one settlement perhaps: the others must still be said.
            _log.exception("settlement of %s failed", settlement.reservation.lease_id)
            return False
        if verdict == "lost":
            _log.warning("%s was settled after its lease", settlement.reservation.lease_id)
        return True

    def _keep(self, settlement: Settlement) -> None:
        if self.full:
            self._lose(settlement, f"{self._max_pending} wait already")
            return
        self._waiting[settlement.reservation.lease_id] = settlement
        self._on_pending(len(self._waiting))
        self._something_waits.set()

    def _lose(self, settlement: Settlement, why: str) -> None:
        # The whole settlement: with this line an operator can still charge it by hand.
        _log.error("settlement lost, %s: %r", why, settlement)
        self._on_dropped()
        self._forget(settlement)

    def _forget(self, settlement: Settlement) -> None:
        # `flush` and `run` may say the same one; whoever comes second finds nothing.
        self._waiting.pop(settlement.reservation.lease_id, None)
        self._on_pending(len(self._waiting))
        if not self._waiting:
            self._something_waits = anyio.Event()
