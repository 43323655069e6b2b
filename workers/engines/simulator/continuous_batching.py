"""The pace of a GPU: what a step costs depends on everybody in it.

Drives a Batch on the event loop: begins a step, sleeps for as long as the cost model
says, hands out the tokens, begins the next.
"""

from __future__ import annotations

import asyncio
import math

from workers.engine import Ending, EngineLoad, EngineRequest, EngineTotals, InvalidRequest, Sink
from workers.engines.simulator.batch import Batch, Member, Step
from workers.engines.simulator.cost_model import CostModel
from workers.engines.simulator.generation import Generation
from workers.engines.simulator.plan import Plan
from workers.engines.simulator.prefix_cache import BLOCK_TOKENS
from workers.engines.simulator.progress import first_trap

# A GPU does not wait for this process. What the loop was late is caught up, but not more
# than this: whoever was stopped for a second should not race.
_CATCH_UP_S = 0.1


class _Place(Member):
    """One generation's member of the batch."""

    __slots__ = (
        *("arrived_at", "admitted_at", "first_token_at", "last_token_at"),
        *("cached_tokens", "generation", "seconds_a_token", "slow_after", "trap"),
    )

    def __init__(self, generation: Generation, now: float) -> None:
        request, plan = generation.request, generation.plan
        wanted = plan.directives
        length, self.trap = first_trap(wanted, len(plan.token_ids))
        super().__init__(
            request.prompt,
            plan.token_ids[:length],
            salt=request.cache_salt,
            max_tokens=request.max_tokens,
            not_before=now + wanted.queue_ms / 1000 if wanted.queue_ms else -math.inf,
            hold_s=(wanted.first_token_ms or 0) / 1000,
        )
        self.generation = generation
        self.arrived_at = now
        self.admitted_at = self.first_token_at = self.last_token_at = math.inf  # not yet
        self.cached_tokens = 0
        # By a directive: no faster than this.
        self.seconds_a_token = 1 / wanted.tokens_per_second if wanted.tokens_per_second else 0.0
        self.slow_after = wanted.slow_after or 0

    def totals(self, now: float) -> EngineTotals:
        """Its part of the engine's, *now* that it has ended."""
        admitted_at = min(self.admitted_at, now)
        first_token_at = min(self.first_token_at, now)
        blocks = self.prompt_tokens // BLOCK_TOKENS
        reused = self.cached_tokens // BLOCK_TOKENS
        return EngineTotals(
            queue_s=admitted_at - self.arrived_at,
            prefill_s=first_token_at - admitted_at,
            decode_s=min(self.last_token_at, now) - first_token_at,
            reused_blocks=reused,
            missed_blocks=0 if self.admitted_at == math.inf else blocks - reused,
        )

    def held_back(self, now: float) -> float:
        """When it may be stepped again, a token having come now."""
        if not self.seconds_a_token or self.generated < self.slow_after:
            return -math.inf
        # From the last time on, not from now: it must not drift with the length of steps.
        since = now if self.due_at == -math.inf or self.generated == 1 else self.due_at
        return max(since, now - self.seconds_a_token) + self.seconds_a_token


class ContinuousBatching:
    """A batch on a GPU that is not there."""

    def __init__(
        self, cost: CostModel, *, max_running: int, kv_blocks: int, time_factor: float
    ) -> None:
        """*time_factor*: of a step's duration; 0 = as fast as possible."""
        self._batch = Batch(cost, max_running=max_running, kv_blocks=kv_blocks)
        self._time_factor = time_factor
        self._timer: asyncio.Handle | None = None
        self._step_runs = False  # the timer is its end; else a look whether one can begin
        self._step_ends_at = -math.inf
        self._totals = EngineTotals()

    async def run(self, request: EngineRequest, sink: Sink, plan: Plan) -> Ending:
        loop = asyncio.get_running_loop()
        place = _Place(Generation(request, sink, plan, loop.create_future()), loop.time())
        if place.max_blocks > self._batch.kv.capacity_blocks:
            raise InvalidRequest(
                f"prompt and max_tokens need {place.max_blocks} KV blocks, "
                f"and there are {self._batch.kv.capacity_blocks}"
            )
        self._batch.enqueue(place)
        self._look_soon(loop)
        try:
            return await place.generation.done
        finally:
            self._batch.leave(place)
            self._totals += place.totals(loop.time())
            self._look_soon(loop)  # somebody may take the place

    def load_now(self) -> EngineLoad:
        kv = self._batch.kv
        return EngineLoad(
            running=self._batch.running,
            queued=self._batch.waiting,
            kv_free_ratio=max(0.0, 1 - kv.committed_blocks / kv.capacity_blocks),
            totals=self._totals,
        )

    def close(self) -> None:
        assert not self._batch.running and not self._batch.waiting
        if self._timer is not None:
            self._timer.cancel()

    def _look_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin a step, if none runs: soon, so that those who come together share it."""
        if not self._step_runs:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_soon(self._begin, loop)

    def _begin(self, loop: asyncio.AbstractEventLoop, *, follows: bool = False) -> None:
        """Begin a step if anybody is due. *follows*: the last one is just over."""
        self._timer = None
        now = loop.time()
        step = self._batch.begin(now)
        if step is None:
            due_at = self._batch.next_due_at(now)
            if due_at < math.inf:
                self._timer = loop.call_at(due_at, self._begin, loop)
            return
        self._step_runs = True
        begins_at = max(self._step_ends_at, now - _CATCH_UP_S) if follows else now
        step_s = step.seconds * self._time_factor
        self._step_ends_at = begins_at + step_s
        self._totals += EngineTotals(iterations=1, iteration_s=step_s)
        for place in step.admitted:
            assert isinstance(place, _Place) and place.holding is not None
            place.admitted_at = now
            place.cached_tokens = place.holding.cached_tokens
            if not place.generation.done.done():
                place.generation.sink.started(place.holding.cached_tokens)
        if self._step_ends_at <= now:
            # Other callbacks of the loop run in between, at full speed too.
            self._timer = loop.call_soon(self._finish, step, loop)
        else:
            self._timer = loop.call_at(self._step_ends_at, self._finish, step, loop)

    def _finish(self, step: Step, loop: asyncio.AbstractEventLoop) -> None:
        self._step_runs = False
        now = loop.time()
        for place in self._batch.finish(step):
            assert isinstance(place, _Place)
            # Done already: cancelled, and its run() has not come to remove it.
            if not place.generation.done.done():
                self._hand_out(place, now)
        self._begin(loop, follows=True)

    def _hand_out(self, place: _Place, now: float) -> None:
        if place.generated:
            place.first_token_at = min(place.first_token_at, now)
            place.last_token_at = now
            token_ids = place.generation.plan.token_ids
            place.generation.say(token_ids[place.generated - 1 : place.generated])
        if not place.over:
            place.due_at = place.held_back(now)
        elif place.generation.end(place.trap):
            self._batch.leave(place)
        else:
            place.due_at = math.inf
