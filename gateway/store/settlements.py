"""Settlements that always arrive: what Redis has not taken, or may have lost, is said again.

    queued -> acknowledged -> durable: forgotten

A settlement is idempotent by its response id, so "again" is always safe: after a
lost reply it is a duplicate, after a failover it re-applies what was lost, for
the marker of what is settled is lost together with the charge.

Queued ones wait in memory, and on disk if there is a spool. Acknowledged ones are
kept until the store has had time to make them durable: a Redis that syncs its
file once a second, or its replica, may lose the last moments when it is restarted
or replaced. If that is seen to have happened, all of them are said again.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Never, Protocol

import anyio
import anyio.to_thread

from gateway.quota.reservation import Reservation
from gateway.quota.usage import Usage
from gateway.store.errors import StoreUnavailable
from gateway.store.ledger import Verdict
from gateway.store.settlement import Settlement
from gateway.store.spool import SpoolFull

_log = logging.getLogger(__name__)

# Somebody waits for it: a request's last byte.
FIRST_ATTEMPT_S = 0.1
MIN_BACKOFF_S = 0.1
MAX_BACKOFF_S = 5.0
MAX_PENDING = 100_000
SAYERS = 16  # at once: 100,000 that wait are said in seconds
# Less than the marker of settle.lua lives: later, a settlement that had arrived
# after all would be charged twice.
MAX_AGE_S = 24 * 60 * 60
# Longer than a Redis that syncs its file each second, or a replica in reach, may lose.
KEEP_S = 10.0
WATCH_INTERVAL_S = 0.5
# What waits for so long, or in such numbers, is written to the spool.
SPOOLED_AFTER_S = 2.0
SPOOLED_BEYOND = 1000
SPOOL_INTERVAL_S = 0.5


class Ledger(Protocol):
    """What settlements are said to."""

    async def settle(
        self,
        reservation: Reservation,
        usage: Usage,
        *,
        status: str,
        patience_s: float | None = None,
    ) -> Verdict: ...


class SpoolFile(Protocol):
    """Where settlements outlive this process. Its methods block."""

    bytes: int

    def append(self, settlements: Sequence[Settlement]) -> None: ...

    def adopt(self) -> list[Settlement]: ...

    def clear(self) -> None: ...

    def quarantine(self, settlement: Settlement, why: str) -> None: ...


class SettlementObserver(Protocol):
    """Who watches settlements, for operators."""

    def settled(self, verdict: Verdict) -> None: ...

    def undurable(self, settlements: int) -> None: ...

    def spooled(self, in_file_bytes: int) -> None: ...

    def quarantined(self) -> None: ...

    def lost(self) -> None: ...


class Settler:
    """Settles responses, now or as soon as Redis is back.

    The app starts `run()`, `watch()` and `keep_spool()` in its task group, calls
    `settle()` for every response and `flush()` last of all.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        observer: SettlementObserver,
        identity: Callable[[], Awaitable[str]],
        spool: SpoolFile | None = None,
        keep_s: float = KEEP_S,
        max_pending: int = MAX_PENDING,
        may_ask: Callable[[Reservation], bool] = lambda reservation: True,
        on_settle: Callable[[Reservation, Usage], None] = lambda reservation, usage: None,
        unix_time: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """*identity* tells which history the store has; *keep_s*: how much of it it may lose.

        *may_ask*: whether Redis was there when the request came: else it has waited for it
        once, and its settlement is said later. *on_settle* is told of every response that has
        ended.
        """
        self._ledger = ledger
        self._observer = observer
        self._identity = identity
        self._spool = spool
        self._keep_s = keep_s
        self._max_pending = max_pending
        self._may_ask = may_ask
        self._on_settle = on_settle
        self._unix_time = unix_time
        self._monotonic = monotonic
        self._waiting: OrderedDict[str, Settlement] = OrderedDict()  # by response id
        self._something_waits = anyio.Event()
        self._in_spool: set[str] = set()
        self._spool_fails = False
        # Acknowledged when, and what; oldest first.
        self._undurable: deque[tuple[float, Settlement]] = deque()

    @property
    def pending(self) -> int:
        """How many settlements are not yet in Redis."""
        return len(self._waiting)

    @property
    def oldest_s(self) -> float:
        """How long the oldest of them has waited; 0 if none does."""
        # Not the first of the line: who was refused goes to its end.
        oldest = min((each.made_at for each in self._waiting.values()), default=None)
        return 0.0 if oldest is None else max(0.0, self._unix_time() - oldest)

    @property
    def undurable(self) -> int:
        """How many Redis has acknowledged, and may still lose."""
        return len(self._undurable)

    @property
    def full(self) -> bool:
        """No more can be kept: whoever admits requests now gives them away."""
        return len(self._waiting) >= self._max_pending or (
            self._spool_fails and bool(self._waiting)
        )

    async def settle(self, reservation: Reservation, usage: Usage, *, status: str) -> None:
        """Charge a response for its *usage*; at once if Redis answers, else later.

        Takes FIRST_ATTEMPT_S at most and raises nothing. If it is cancelled, the settlement
        is kept.
        """
        may_ask = not self._waiting and self._may_ask(reservation)
        self._on_settle(reservation, usage)
        settlement = Settlement(reservation, usage, status, self._unix_time())
        acknowledged = False
        try:
            # Others wait: Redis was away a moment ago, so do not hold up the caller.
            if may_ask:
                acknowledged = await self._say(settlement, patience_s=FIRST_ATTEMPT_S)
        finally:
            if not acknowledged:
                self._keep(settlement)

    async def run(self) -> Never:
        """Say what waits again, oldest first, until it is acknowledged. Ends only by cancellation."""
        while True:
            await self._something_waits.wait()
            await self._say_all()

    async def watch(self) -> Never:
        """Say again what the store may have lost, and forget what it cannot. Ends only by cancellation."""
        known: str | None = None
        while True:
            try:
                now = await self._identity()
            except StoreUnavailable:
                pass  # nothing is known, so nothing is forgotten
            else:
                if known is not None and now != known:
                    self._say_again()
                known = now
                self._forget_durable()
            await anyio.sleep(WATCH_INTERVAL_S)

    async def keep_spool(self) -> Never:
        """Keep on disk what Redis does not take. Ends only by cancellation."""
        assert self._spool is not None
        await self._adopt()
        while True:
            await self._write_spool()
            await anyio.sleep(SPOOL_INTERVAL_S)

    async def flush(self, deadline_s: float) -> int:
        """Say what waits, for *deadline_s* seconds at most. Returns how many are left.

        They are in the spool then, or lost if there is none.
        """
        with anyio.move_on_after(deadline_s, shield=True):
            await self._say_all()
        if self._spool is not None:
            with anyio.CancelScope(shield=True):
                await self._write_spool(all_of_it=True)
        left = list(self._waiting.values())
        for settlement in left:
            if settlement.response_id not in self._in_spool:
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
            await self._put_off([each for each in batch if each not in acknowledged])
            if acknowledged:
                backoff_s = MIN_BACKOFF_S
            else:
                await anyio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)

    async def _put_off(self, refused: Sequence[Settlement]) -> None:
        """To the end of the line: one that Redis refuses must not stop the others. They
        are sums, so their order changes nothing."""
        for settlement in refused:
            if settlement.response_id not in self._waiting:
                continue
            if self._unix_time() - settlement.made_at > MAX_AGE_S:
                await self._give_up(settlement)
            else:
                self._waiting.move_to_end(settlement.response_id)

    async def _say(self, settlement: Settlement, *, patience_s: float | None = None) -> bool:
        """Whether Redis has acknowledged it."""
        if self._unix_time() - settlement.made_at > MAX_AGE_S:
            return False  # `_put_off` gives it up
        try:
            verdict = await self._ledger.settle(
                settlement.reservation,
                settlement.usage,
                status=settlement.status,
                patience_s=patience_s,
            )
        except StoreUnavailable as exc:
            _log.warning("settlement of %s waits: %s", settlement.response_id, exc)
            return False
        except Exception:  # noqa: BLE001
            # A bug, in this one settlement perhaps: the others must still be said.
            _log.exception("settlement of %s failed", settlement.response_id)
            return False
        self._observer.settled(verdict)
        if verdict == "lost":
            _log.info("%s is charged; Redis knew no lease of it", settlement.response_id)
        elif verdict == "adjusted":
            _log.warning(
                "%s is charged; another gateway had charged a part", settlement.response_id
            )
        self._undurable.append((self._monotonic(), settlement))
        self._observer.undurable(len(self._undurable))
        return True

    def _say_again(self) -> None:
        _log.warning(
            "Redis was restarted or replaced: %d settlements are said again", len(self._undurable)
        )
        again = [settlement for _, settlement in self._undurable]
        self._undurable.clear()
        self._observer.undurable(0)
        for settlement in again:
            self._keep(settlement)

    def _forget_durable(self) -> None:
        before = self._monotonic() - self._keep_s
        while self._undurable and self._undurable[0][0] < before:
            self._undurable.popleft()
        self._observer.undurable(len(self._undurable))

    async def _adopt(self) -> None:
        assert self._spool is not None
        try:
            found = await anyio.to_thread.run_sync(self._spool.adopt)
        except (SpoolFull, OSError) as exc:
            _log.error("settlements of an earlier process stay in its spool: %s", exc)
            return
        if found:
            _log.warning("%d settlements of an earlier process are said again", len(found))
        for settlement in found:
            self._in_spool.add(settlement.response_id)
            self._keep(settlement)

    async def _write_spool(self, *, all_of_it: bool = False) -> None:
        spool = self._spool
        assert spool is not None
        new = [each for each in self._waiting.values() if each.response_id not in self._in_spool]
        many = all_of_it or len(self._waiting) > SPOOLED_BEYOND
        before = self._unix_time() - SPOOLED_AFTER_S
        due = [each for each in new if many or each.made_at < before]
        try:
            if due:
                await anyio.to_thread.run_sync(spool.append, due)
                self._in_spool.update(each.response_id for each in due)
            elif not self._waiting and spool.bytes:
                await anyio.to_thread.run_sync(spool.clear)
                self._in_spool.clear()
            self._spool_fails = False
        except (SpoolFull, OSError) as exc:
            self._spool_fails = True
            _log.error("%d settlements cannot be spooled: %s", len(due), exc)
        self._observer.spooled(spool.bytes)

    def _keep(self, settlement: Settlement) -> None:
        if len(self._waiting) >= self._max_pending:
            self._lose(settlement, f"{self._max_pending} wait already")
            return
        self._waiting[settlement.response_id] = settlement
        self._something_waits.set()

    async def _give_up(self, settlement: Settlement) -> None:
        """Too old to be charged: whether it was charged, nobody knows any more."""
        why = "Redis was away for too long"
        if self._spool is None:
            self._lose(settlement, why)
            return
        try:
            await anyio.to_thread.run_sync(self._spool.quarantine, settlement, why)
        except OSError as exc:
            _log.error("the quarantine cannot be written: %s", exc)
            self._lose(settlement, why)
            return
        _log.error("settlement of %s is in quarantine: %s", settlement.response_id, why)
        self._observer.quarantined()
        self._forget(settlement)

    def _lose(self, settlement: Settlement, why: str) -> None:
        # The whole settlement: with this line an operator can still charge it by hand.
        _log.error("settlement lost, %s: %r", why, settlement)
        self._observer.lost()
        self._forget(settlement)

    def _forget(self, settlement: Settlement) -> None:
        # `flush` and `run` may say the same one; whoever comes second finds nothing.
        self._waiting.pop(settlement.response_id, None)
        if not self._waiting:
            self._something_waits = anyio.Event()
