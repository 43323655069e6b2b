"""A set time to the first token, and set tokens a second, however full the batch is.

One timer for all generations: a step gives each of them the tokens that are due,
then sleeps until the next one is.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

from workers.engine import Ending, EngineLoad, EngineRequest, Sink
from workers.engines.simulator.generation import Generation
from workers.engines.simulator.plan import Plan
from workers.engines.simulator.prefix_cache import BLOCK_TOKENS, PrefixCache
from workers.engines.simulator.progress import Progress
from workers.settings import SimulatorSettings

# Steps at most so often: generations that are due within this time share one.
# An iteration of the real engine takes 2.5 ms at best.
_STEP_S = 0.002
_CLOCK_TOLERANCE_S = 1e-6


@dataclass(eq=False, slots=True)
class _Sequence:
    """One generation, waiting or running."""

    generation: Generation
    progress: Progress
    blocks: int  # of the KV cache, at its end
    not_before: float  # may leave the queue then
    stuck: bool = False  # by a directive: keeps its place, and nothing is due any more

    @property
    def due_at(self) -> float:
        return math.inf if self.stuck else self.progress.due_at


class FixedPace:
    """A batch in which nobody slows anybody down."""

    def __init__(self, settings: SimulatorSettings, *, max_running: int) -> None:
        self._settings = settings
        self._max_running = max_running
        self._cache = PrefixCache(settings.kv_blocks)
        # dicts as ordered sets: who leaves may be anywhere in the queue.
        self._waiting: dict[_Sequence, None] = {}
        self._running: dict[_Sequence, None] = {}
        self._used_blocks = 0
        self._timer: asyncio.Handle | None = None

    async def run(self, request: EngineRequest, sink: Sink, plan: Plan) -> Ending:
        loop = asyncio.get_running_loop()
        length = len(request.prompt) + len(plan.token_ids)
        sequence = _Sequence(
            Generation(request, sink, plan, loop.create_future()),
            Progress(plan, self._settings),
            blocks=math.ceil(length / BLOCK_TOKENS),
            not_before=loop.time() + (plan.directives.queue_ms or 0) / 1000,
        )
        self._waiting[sequence] = None
        self._set_timer(loop)
        try:
            return await sequence.generation.done
        finally:
            self._remove(sequence)
            self._set_timer(loop)  # somebody may take the place

    def load_now(self) -> EngineLoad:
        return EngineLoad(
            running=len(self._running),
            queued=len(self._waiting),
            kv_free_ratio=max(0.0, 1 - self._used_blocks / self._settings.kv_blocks),
        )

    def close(self) -> None:
        assert not self._waiting and not self._running
        if self._timer is not None:
            self._timer.cancel()

    def _step(self, loop: asyncio.AbstractEventLoop) -> None:
        # Timers may ring a little early; without this, that costs another step.
        now = loop.time() + _CLOCK_TOLERANCE_S
        self._fill_batch(now)
        for sequence in list(self._running):
            # Done already: cancelled, and its run() has not come to remove it.
            if sequence.due_at <= now and not sequence.generation.done.done():
                self._advance(sequence, now)
        self._set_timer(loop)

    def _fill_batch(self, now: float) -> None:
        """First come, first served, except for those that a directive holds back."""
        room = self._max_running - len(self._running)
        if room == 0:
            return
        ready = [
            each
            for each in self._waiting
            if each.not_before <= now and not each.generation.done.done()
        ]
        for sequence in ready[:room]:
            del self._waiting[sequence]
            self._running[sequence] = None
            self._used_blocks += sequence.blocks
            request = sequence.generation.request
            cached_tokens = self._cache.reuse(request.prompt, request.cache_salt)
            sequence.generation.sink.started(cached_tokens)
            sequence.progress.begin(now)

    def _advance(self, sequence: _Sequence, now: float) -> None:
        if token_ids := sequence.progress.take(now):
            sequence.generation.say(token_ids)
        if not sequence.progress.over:
            return
        if sequence.generation.end(sequence.progress.trap):
            self._remove(sequence)
        else:
            sequence.stuck = True

    def _remove(self, sequence: _Sequence) -> None:
        """Give up its place, wherever that is. Does nothing the second time."""
        self._waiting.pop(sequence, None)
        if sequence in self._running:
            del self._running[sequence]
            self._used_blocks -= sequence.blocks

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ring when the next thing is due, if there is any."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_at = min((each.due_at for each in self._running), default=math.inf)
        if len(self._running) < self._max_running:
            arrival_at = min((each.not_before for each in self._waiting), default=math.inf)
            due_at = min(due_at, arrival_at)
        now = loop.time()
        if due_at <= now:
            # Other callbacks of the loop run in between, at full speed too.
            self._timer = loop.call_soon(self._step, loop)
        elif due_at < math.inf:
            self._timer = loop.call_at(max(due_at, now + _STEP_S), self._step, loop)
