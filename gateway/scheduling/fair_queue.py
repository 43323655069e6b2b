"""The order in which waiting requests are served: least served project first. Pure.

A flow is a project's requests of one tier; within it, first come, first served. Each has a
clock of virtual time (service.py), which is the store's: it is learned from the answer to
every reservation and so counts what other gateways have served as well. The flow with
the lowest clock is next. What is being served here is not in the clock yet: it counts
with what it is expected to cost.

Idleness earns no credit. A flow that begins to wait is put level with those that wait
already (`floor`), or with who was served last if none does.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.quota.service_tier import ServiceTier

# Clocks of flows that do nothing here. The next answer of the store tells them again; only
# while there is no store is something forgotten with them.
IDLE_FLOWS_KEPT = 10_000


class Flow(NamedTuple):
    """Whose requests wait in one line. A tuple, for it is looked up fifteen times a request."""

    project_id: str
    tier: ServiceTier


@dataclass(eq=False, slots=True)
class Ticket:
    """A request's place in the queue, then among those being served."""

    flow: Flow
    cost: int  # virtual time it is expected to take


@dataclass(slots=True)
class _FlowState:
    clock: int = 0
    serving: int = 0  # requests
    served_here: int = 0  # of those: expected cost
    waiting: OrderedDict[Ticket, None] = field(default_factory=OrderedDict)

    @property
    def key(self) -> int:
        return self.clock + self.served_here

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.serving


class FairQueue:
    """Tickets that wait, and what is known of their flows."""

    def __init__(self) -> None:
        self._flows: OrderedDict[Flow, _FlowState] = OrderedDict()  # last used last
        self._waiting: dict[Flow, _FlowState] = {}  # those with a ticket that waits
        self._served_last = 0  # the highest clock of whoever was served

    def __len__(self) -> int:
        return sum(len(state.waiting) for state in self._waiting.values())

    def waiting(self, flow: Flow) -> int:
        """How many tickets of *flow* wait."""
        state = self._waiting.get(flow)
        return 0 if state is None else len(state.waiting)

    def waiting_by_tier(self) -> dict[ServiceTier, int]:
        counts = dict.fromkeys(ServiceTier, 0)
        for flow, state in self._waiting.items():
            counts[flow.tier] += len(state.waiting)
        return counts

    # --- clocks ----------------------------------------------------------------

    def floor(self, flow: Flow) -> int:
        """What the store should lift the clock of *flow* to; 0: leave it.

        Level with what others have been served, without what they are being served: that is
        an estimate, and who is lifted to it stays behind them when it proves too high.
        """
        if flow in self._waiting:
            return 0
        return min((state.clock for state in self._waiting.values()), default=self._served_last)

    def learned(self, flow: Flow, clock: int) -> None:
        """The store says how far *flow* has been served."""
        self._state(flow).clock = clock

    # --- tickets ---------------------------------------------------------------

    def push(self, ticket: Ticket) -> None:
        """*ticket* waits from now on."""
        state = self._state(ticket.flow)
        state.waiting[ticket] = None
        self._waiting[ticket.flow] = state

    def pop(self, share: float = math.inf) -> Ticket | None:
        """The next to be served, which it is from now on: end() must follow.

        None: no flow waits of which fewer than *share* are being served.
        """
        # Ties go to the flow that has waited longest for its turn: dicts keep their order.
        state = min(
            (state for state in self._waiting.values() if state.serving < share),
            key=lambda state: state.key,
            default=None,
        )
        if state is None:
            return None
        ticket = next(iter(state.waiting))
        self.serve(ticket)
        return ticket

    def serve(self, ticket: Ticket) -> None:
        """*ticket* waits no longer and is being served, be it its turn or not."""
        state = self._waiting[ticket.flow]
        self._served_last = max(self._served_last, state.clock)
        self.remove(ticket)
        state.serving += 1
        state.served_here += ticket.cost

    def most_served(self) -> int:
        """How many requests are being served of the flow of which most are, among the waiting."""
        return max((state.serving for state in self._waiting.values()), default=0)

    def remove(self, ticket: Ticket) -> None:
        """*ticket* waits no longer."""
        state = self._waiting.pop(ticket.flow)
        del state.waiting[ticket]
        if state.waiting:
            self._waiting[ticket.flow] = state  # behind the others

    def end(self, ticket: Ticket, served: int) -> None:
        """*ticket* was popped, and has been served *served* of virtual time."""
        state = self._state(ticket.flow)
        state.serving -= 1
        state.served_here -= ticket.cost
        state.clock += served

    def displaced_by(self, flow: Flow) -> Ticket | None:
        """Who has to go if one more of *flow* is to wait; None: that one itself.

        The last of the longest line, so that no crowd of one project keeps another out.
        """
        longest = max(self._waiting, key=self._length)
        if self._length(longest) <= self._length(flow, more=1):
            return None
        return next(reversed(self._waiting[longest].waiting))

    def _length(self, flow: Flow, *, more: int = 0) -> float:
        """By its share: a line of priority requests is allowed to be longer."""
        return (self.waiting(flow) + more) / flow.tier.share

    def _state(self, flow: Flow) -> _FlowState:
        state = self._flows.get(flow)
        if state is None:
            state = self._flows[flow] = _FlowState()
            self._forget_idle()
        else:
            self._flows.move_to_end(flow)
        return state

    def _forget_idle(self) -> None:
        while len(self._flows) > IDLE_FLOWS_KEPT:
            flow, state = self._flows.popitem(last=False)
            if not state.idle:
                self._flows[flow] = state  # looked at again when its turn comes
                return
