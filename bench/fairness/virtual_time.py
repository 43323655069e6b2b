"""Gateways' schedulers in front of the simulator's batch, in virtual time: an hour in seconds.

The scheduler, the window and the estimate of outputs are the gateway's own, the batch is the
simulator's own; the network and Redis take no time. What Redis keeps is a dict.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from gateway.quota.estimate import UsualOutput
from gateway.quota.reservation import RateLimitState, Reservation
from gateway.quota.service_tier import ServiceTier
from gateway.quota.usage import Usage
from gateway.responses.errors import ApiError
from gateway.scheduler import Scheduler, Slot, State
from gateway.scheduling.service import virtual_time
from gateway.upstream.window import Window
from wire.v1.generation_pb2 import WorkerLoad
from workers.engines.simulator.batch import Batch, Member
from workers.engines.simulator.cost_model import CostModel
from workers.engines.simulator.prefix_cache import BLOCK_TOKENS

PATIENCE_S = 15.0
_PROBE_S = 2.0
_MAX_OUTPUT_TOKENS = 2000
_INPUT_TOKENS, _OUTPUT_TOKENS = (300, 700), (100, 300)


@dataclass(eq=False)
class Request:
    project: str
    arrived_at: float
    input_tokens: int
    output_tokens: int
    gateway: Gateway
    member: Member | None = None  # once a worker has it
    slot: Slot | None = None
    first_token_s: float | None = None
    ended_at: float | None = None
    refused: bool = False


@dataclass
class Outcome:
    """What came of a load."""

    requests: list[Request] = field(default_factory=list)
    token_times_s: list[float] = field(default_factory=list)

    def asked(self, projects: Collection[str], from_s: float, to_s: float) -> list[Request]:
        """Of these projects, in this time, and decided by its end."""
        return [
            each
            for each in self.requests
            if each.project in projects
            and from_s <= each.arrived_at < to_s
            and (each.refused or each.first_token_s is not None)
        ]

    def ended(self, from_s: float, to_s: float) -> int:
        """How many were answered."""
        return sum(
            each.ended_at is not None and from_s <= each.ended_at < to_s for each in self.requests
        )

    def tokens_per_second(self, from_s: float, to_s: float) -> float:
        return sum(from_s <= at_s < to_s for at_s in self.token_times_s) / (to_s - from_s)


class Gateway:
    """A Capacity for its scheduler: one worker, as `WorkerPool` sees it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.scheduler = Scheduler(self, clock=lambda: world.now, jitter=lambda: 0)
        self.usual_output = UsualOutput()
        self.window = Window()
        self.booked = 0

    def ready(self) -> bool:
        return True

    def slots(self) -> int:
        return self.window.size()

    def room(self, in_flight: int) -> int:
        free = max(0, self.window.free(self.booked, self.world.now)) - (in_flight - self.booked)
        share = self.window.size() // len(self.world.gateways)
        return max(0, free, share - in_flight)

    def heard(self) -> None:
        self.window.heard(self.world.load(), ours=self.booked, now=self.world.now)
        self.scheduler.fill()


class World:
    """One worker, some gateways, and requests that come at random."""

    def __init__(
        self, cost: CostModel, *, places: int, gateways: int, fair: bool = True, seed: int = 1
    ) -> None:
        """*fair*: whether gateways keep requests back; else all wait at the worker."""
        self.now = 0.0
        self.draw = random.Random(seed)
        self.batch = Batch(cost, max_running=places, kv_blocks=cost.kv_tokens // BLOCK_TOKENS)
        self.gateways = [Gateway(self) for _ in range(gateways)]
        self._places = places
        self._fair = fair
        self._clocks: dict[str, int] = {}  # what Redis keeps: virtual time by project
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._waiting: dict[Request, Slot] = {}
        self._of: dict[Member, Request] = {}
        self._outcome = Outcome()

    def load(self) -> WorkerLoad:
        return WorkerLoad(
            running=self.batch.running, queued=self.batch.waiting, max_running=self._places
        )

    def run(self, rates: Mapping[str, float], seconds: float, *, flood_at_s: float) -> Outcome:
        """*rates* a second by project; "flood" comes later than the others."""
        for project, rate in rates.items():
            begin = flood_at_s if project == "flood" else 0.0
            self._at(begin, partial(self._keep_coming, project, rate))
        self._at(_PROBE_S, self._probe)
        while self.now < seconds:
            step = self.batch.begin(self.now)
            if step is None:
                self.now = self._events[0][0]
            else:
                end = self.now + step.seconds
                while self._events[0][0] <= end:
                    self._next_event()
                self.now = end
                for member in self.batch.finish(step):
                    self._token(member)
            while self._events[0][0] <= self.now:
                self._next_event()
        return self._outcome

    # --- what happens --------------------------------------------------------------

    def _keep_coming(self, project: str, rate: float) -> None:
        def come() -> None:
            self._arrive(project)
            self._keep_coming(project, rate)

        self._at(self.now + self.draw.expovariate(rate), come)

    def _arrive(self, project: str) -> None:
        gateway = self.draw.choice(self.gateways)
        request = Request(
            project,
            self.now,
            self.draw.randint(*_INPUT_TOKENS),
            self.draw.randint(*_OUTPUT_TOKENS),
            gateway,
        )
        self._outcome.requests.append(request)
        if not self._fair:
            self._send(request)
            self._at(self.now + PATIENCE_S, lambda: self._leave_worker(request))
            return
        try:
            gateway.scheduler.check(project, ServiceTier.DEFAULT)
            floor = gateway.scheduler.floor(project, ServiceTier.DEFAULT)
            self._clocks[project] = max(self._clocks.get(project, 0), floor)
            request.slot = gateway.scheduler.slot(
                self._reservation(request), served=lambda: self._usage(request)
            )
            request.slot.state = State.WAITING
            gateway.scheduler.arrive(request.slot)
        except ApiError:
            request.refused = True
            return
        self._waiting[request] = request.slot
        self._look_who_has_a_place()
        self._at(self.now + PATIENCE_S, lambda: self._give_up(request))

    def _look_who_has_a_place(self) -> None:
        for request, slot in list(self._waiting.items()):
            if slot.state is State.SERVED:
                self._send(request)
            elif slot.state is not State.WAITING:
                request.refused = True
            else:
                continue
            del self._waiting[request]

    def _reservation(self, request: Request) -> Reservation:
        estimate = request.gateway.usual_output.estimate(request.project, _MAX_OUTPUT_TOKENS)
        return Reservation(
            lease_id="",
            project_id=request.project,
            kid="",
            model="",
            input_tokens=request.input_tokens,
            output_tokens=estimate,
            max_output_tokens=_MAX_OUTPUT_TOKENS,
            admitted_at_ms=0,
            day=0,
            month=0,
            rate_limits=RateLimitState(None, None),
            virtual_time=self._clocks[request.project],
        )

    def _give_up(self, request: Request) -> None:
        assert request.slot is not None
        with suppress(ApiError):
            request.gateway.scheduler.give_up(request.slot)
        self._look_who_has_a_place()

    def _leave_worker(self, request: Request) -> None:
        if request.first_token_s is None and request.member is not None:
            request.refused = True
            self.batch.leave(request.member)

    def _send(self, request: Request) -> None:
        request.gateway.booked += 1
        prompt = [self.draw.randrange(100_000) for _ in range(request.input_tokens)]
        output = [0] * request.output_tokens
        request.member = Member(prompt, output, salt="", max_tokens=len(output))
        self._of[request.member] = request
        self.batch.enqueue(request.member)

    def _token(self, member: Member) -> None:
        request = self._of[member]
        self._outcome.token_times_s.append(self.now)
        if request.first_token_s is None:
            request.first_token_s = self.now - request.arrived_at
            request.gateway.heard()
            self._look_who_has_a_place()
        if member.over:
            self._end(request, member)

    def _end(self, request: Request, member: Member) -> None:
        self.batch.leave(member)
        request.ended_at = self.now
        gateway = request.gateway
        gateway.booked -= 1
        if request.slot is not None:
            gateway.window.heard(self.load(), ours=gateway.booked, now=self.now)
            usage = self._usage(request)
            gateway.usual_output.learn(request.project, usage.output_tokens)
            gateway.scheduler.leave(request.slot)
            self._clocks[request.project] += virtual_time(ServiceTier.DEFAULT, usage)
            self._look_who_has_a_place()

    def _usage(self, request: Request) -> Usage:
        generated = 0 if request.member is None else request.member.generated
        return Usage(request.input_tokens, 0, generated, 0)

    def _probe(self) -> None:
        for gateway in self.gateways:
            gateway.heard()
        self._look_who_has_a_place()
        self._at(self.now + _PROBE_S, self._probe)

    # --- time ----------------------------------------------------------------------

    def _at(self, when: float, event: Callable[[], object]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), event))  # type: ignore[misc]

    def _next_event(self) -> None:
        when, _, event = heapq.heappop(self._events)
        self.now = max(self.now, when)
        event()
