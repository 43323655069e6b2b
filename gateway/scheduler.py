"""Station 6: a request waits until a worker has a place for it, or hears that it will not get one.

    async with scheduler.slot(reservation, ...):     waits, if it must, in the order of FairQueue
        ...                                          has a place with the workers

What is too much is refused early and costs little: a project whose line is full before its
prompt is rendered; a request that has waited too long before a worker has seen it. Everything
here happens in one event loop: between two awaits nothing changes.
"""

from __future__ import annotations

import enum
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol

import anyio

from gateway.quota.reservation import Reservation
from gateway.quota.service_tier import ServiceTier
from gateway.quota.usage import Usage
from gateway.responses import errors
from gateway.responses.errors import ApiError
from gateway.scheduling.fair_queue import FairQueue, Flow, Ticket
from gateway.scheduling.service import virtual_time

# Of everything that could be served at once, so much more may wait: in the time that a
# response takes, twice as many get their place.
QUEUE_FACTOR = 2
MIN_QUEUE = 64
# While others are about, a few places are not given to who has its share of them already,
# and half of what the largest has: whoever has little to ask for finds one free, and need
# not wait for an answer to end. A few: by the square root the number of those who come at
# random goes up and down; and never more than one in so many.
KEPT_FREE = 8
ABOUT_S = 5.0
# A worker whose connection broke may be back at the next probe. Those who wait for it wait so
# much longer, and hear then that there is none; who comes meanwhile hears it at once.
BACK_S = 3.0
MIN_RETRY_S, MAX_RETRY_S = 1.0, 10.0
# Those who are refused together should not come back together.
JITTER = 0.5
# Of how long a place is held: one response counts so much, those before it the rest.
_NEWEST = 0.05

Refusal = Literal["project_full", "full", "displaced", "timeout"]


class Capacity(Protocol):
    """The workers, as far as it matters here how many requests they can serve at once."""

    def ready(self) -> bool:
        """Whether there is a worker at all."""

    def slots(self) -> int:
        """So many run at once, of all gateways."""

    def room(self, in_flight: int) -> int:
        """So many more would run at once if *in_flight* of this gateway's do."""


class Observer(Protocol):
    """Must not raise."""

    def refused(self, tier: ServiceTier, reason: Refusal) -> None: ...


class Unobserved:
    """An Observer that does nothing."""

    def refused(self, tier: ServiceTier, reason: Refusal) -> None:
        pass


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How many may wait, and how long."""

    per_project: int = 64  # of each tier
    patience_s: float = 15.0  # of a default request; other tiers' is a multiple


class Scheduler:
    """Gives out the places that the workers have.

    `fill()` must be called when workers have said something new about themselves, and now and
    then while there are none.

    Args:
        clock: monotonic, in seconds.
        jitter: random, from 0 to 1.
    """

    def __init__(
        self,
        capacity: Capacity,
        limits: QueueLimits = QueueLimits(),
        *,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._capacity = capacity
        self._limits = limits
        self._observer = observer or Unobserved()
        self._clock = clock
        self._jitter = jitter
        self._queue = FairQueue()
        self._slots: dict[Ticket, Slot] = {}  # of those who wait
        self._about: dict[Flow, float] = {}  # when they came last; the latest is last
        self._in_service = 0
        self._deserted_since: float | None = None  # there has been no worker
        self._held_s = MIN_RETRY_S  # a place, on average

    # --- what create_response asks -----------------------------------------------

    def check(self, project_id: str, tier: ServiceTier) -> None:
        """Raises ApiError, 429, if one more of these could not even wait.

        To be asked first of all: to be refused should cost next to nothing.
        """
        if self._queue.waiting(Flow(project_id, tier)) >= self._limits.per_project:
            raise self._refusal(tier, "project_full")

    def floor(self, project_id: str, tier: ServiceTier) -> int:
        """For the reservation: what the project's clock is lifted to (`FairQueue.floor`)."""
        return self._queue.floor(Flow(project_id, tier))

    def slot(
        self,
        reservation: Reservation,
        *,
        served: Callable[[], Usage],
        client_patience_s: float | None = None,
    ) -> Slot:
        """A place with the workers, for as long as the context is entered.

        *served*: what was used of it, asked when it is left. *client_patience_s*: when the
        client hangs up, if it has said so. Entering waits, and raises ApiError: 429.
        """
        tier = reservation.tier
        patience_s = self._limits.patience_s * tier.patience
        if client_patience_s is not None:
            patience_s = min(patience_s, client_patience_s)
        flow = Flow(reservation.project_id, tier)
        if reservation.virtual_time is not None:
            self._queue.learned(flow, reservation.virtual_time)
        expected = Usage(reservation.input_tokens, 0, reservation.output_tokens, 0)
        return Slot(self, Ticket(flow, virtual_time(tier, expected)), served, patience_s)

    # --- what metrics ask ----------------------------------------------------------

    @property
    def in_service(self) -> int:
        """Requests that have a place."""
        return self._in_service

    def waiting_by_tier(self) -> dict[ServiceTier, int]:
        return self._queue.waiting_by_tier()

    # --- what slots, and news of the workers, do -----------------------------------

    def fill(self) -> None:
        """Give places to those who wait, as long as there are any."""
        if self._deserted():
            for slot in list(self._slots.values()):
                self._let_through(slot)
        if not self._slots:
            return
        room = self._capacity.room(self._in_service)
        places = self._in_service + room
        about = self._flows_about()
        kept_free = 0 if about == 1 else min(math.isqrt(places), places // KEPT_FREE)
        while room > 0:
            share = max(places / about, self._queue.most_served() / 2)
            ticket = self._queue.pop(share if room <= kept_free else math.inf)
            if ticket is None:
                return
            self._begin(ticket)
            room -= 1

    def arrive(self, slot: Slot) -> None:
        """*slot* waits; it may have its place when this returns. Raises ApiError: 429."""
        flow = slot.ticket.flow
        self.check(flow.project_id, flow.tier)
        if len(self._slots) >= max(MIN_QUEUE, QUEUE_FACTOR * self._capacity.slots()):
            self._displace(flow)
        self._about.pop(flow, None)
        self._about[flow] = self._clock()
        self._slots[slot.ticket] = slot
        self._queue.push(slot.ticket)
        self.fill()
        if not self._capacity.ready():
            self._let_through(slot)

    def give_up(self, slot: Slot) -> None:
        """*slot* has waited as long as it could. Raises ApiError, 429, unless it has its place."""
        if slot.state is State.WAITING and not self._capacity.ready():
            self._let_through(slot)
        if slot.state is State.WAITING:
            self._remove(slot, State.OVER)
            raise self._refusal(slot.ticket.flow.tier, "timeout")

    def leave(self, slot: Slot) -> None:
        """Nobody is interested in *slot* any more, whether it waits or has its place."""
        if slot.state is State.WAITING:
            self._remove(slot, State.OVER)
        elif slot.state is State.SERVED:
            slot.state = State.OVER
            self._in_service -= 1
            self._queue.end(slot.ticket, virtual_time(slot.ticket.flow.tier, slot.served()))
            self._held_s += _NEWEST * (self._clock() - slot.since - self._held_s)
            self.fill()

    def _flows_about(self) -> int:
        """How many have sent something of late."""
        long_ago = self._clock() - ABOUT_S
        while self._about and self._about[flow := next(iter(self._about))] < long_ago:
            del self._about[flow]
        return max(1, len(self._about))

    def _deserted(self) -> bool:
        """There has been no worker for so long that it is no use to wait for one."""
        if self._capacity.ready():
            self._deserted_since = None
        elif self._deserted_since is None:
            self._deserted_since = self._clock()
        else:
            return self._clock() - self._deserted_since > BACK_S
        return False

    def _begin(self, ticket: Ticket) -> None:
        """*ticket* is being served."""
        self._in_service += 1
        slot = self._slots.pop(ticket)
        slot.since = self._clock()
        slot.decide(State.SERVED)

    def _let_through(self, slot: Slot) -> None:
        """There is no worker: it shall hear that from who knows, and not wait for nothing."""
        if slot.state is State.WAITING:
            self._queue.serve(slot.ticket)
            self._begin(slot.ticket)

    def _displace(self, flow: Flow) -> None:
        """Make room for one more of *flow*. Raises ApiError, 429, if it must not have it."""
        displaced = self._queue.displaced_by(flow)
        if displaced is None:
            raise self._refusal(flow.tier, "full")
        slot = self._slots[displaced]
        slot.refusal = self._refusal(displaced.flow.tier, "displaced")
        self._remove(slot, State.REFUSED)

    def _remove(self, slot: Slot, state: State) -> None:
        self._queue.remove(slot.ticket)
        del self._slots[slot.ticket]
        slot.decide(state)

    def _refusal(self, tier: ServiceTier, reason: Refusal) -> ApiError:
        self._observer.refused(tier, reason)
        # When those who wait now will have had their turn.
        drained_s = self._held_s * len(self._slots) / max(1, self._in_service)
        retry_after_s = min(max(drained_s, MIN_RETRY_S), MAX_RETRY_S)
        return errors.overloaded(math.ceil(retry_after_s * (1 + JITTER * self._jitter())))


class State(enum.Enum):
    """Of a slot: NEW -> WAITING -> SERVED or REFUSED -> OVER."""

    NEW = "new"
    WAITING = "waiting"
    SERVED = "served"
    REFUSED = "refused"
    OVER = "over"


class Slot:
    """A context: entering waits for a place with the workers, leaving gives it back."""

    def __init__(
        self, scheduler: Scheduler, ticket: Ticket, served: Callable[[], Usage], patience_s: float
    ) -> None:
        self.ticket = ticket
        self.served = served
        self.state = State.NEW
        self.since = 0.0  # when it got its place, by the scheduler's clock
        self.refusal: ApiError | None = None
        self._scheduler = scheduler
        self._patience_s = patience_s
        self._decided: anyio.Event | None = None

    def decide(self, state: State) -> None:
        self.state = state
        if self._decided is not None:
            self._decided.set()

    async def __aenter__(self) -> None:
        self.state = State.WAITING
        self._scheduler.arrive(self)
        if self.state is State.WAITING:
            self._decided = anyio.Event()
            try:
                with anyio.move_on_after(self._patience_s):
                    await self._decided.wait()
                self._scheduler.give_up(self)
            except BaseException:
                # The client left, perhaps in the moment that the place was there.
                self._scheduler.leave(self)
                raise
        if self.refusal is not None:
            raise self.refusal

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._scheduler.leave(self)
