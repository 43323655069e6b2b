"""The simulator as an Engine: a batch that advances in steps, like a real one.

One timer for all generations: a step gives each of them the tokens that are due,
then sleeps until the next one is. What is said is planned when a request comes in
(plan.py); this file only decides when.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from dataclasses import dataclass

from workers.compiled_grammars import CompiledGrammars
from workers.engine import Ending, EngineFailed, EngineLoad, EngineRequest, Sink
from workers.engines.simulator.plan import Plan, Planner
from workers.engines.simulator.prefix_cache import BLOCK_TOKENS, PrefixCache
from workers.engines.simulator.progress import Progress, Trap
from workers.engines.simulator.tokenizer import Tokenizer
from workers.settings import GrammarSettings, SimulatorSettings

# Steps at most so often: generations that are due within this time share one.
# An iteration of the real engine takes 2.5 ms at best.
_STEP_S = 0.002
_CLOCK_TOLERANCE_S = 1e-6
# Before the process dies as directed: time for the senders to deliver what was
# said before. Nobody can wait for more: a dead process answers no question.
_LAST_WORDS_S = 0.2


_GRAMMAR_SETTINGS = GrammarSettings()


@dataclass(eq=False, slots=True)
class _Sequence:
    """One generation, waiting or running."""

    request: EngineRequest
    sink: Sink
    plan: Plan
    progress: Progress
    blocks: int  # of the KV cache, at its end
    not_before: float  # may leave the queue then
    done: asyncio.Future[Ending]
    stuck: bool = False  # by a directive: keeps its place, and nothing is due any more

    @property
    def due_at(self) -> float:
        return math.inf if self.stuck else self.progress.due_at


class Simulator:
    """An Engine without a GPU, a model or an opinion."""

    name = "simulator"

    def __init__(
        self,
        settings: SimulatorSettings,
        *,
        max_running: int,
        grammar: GrammarSettings = _GRAMMAR_SETTINGS,
    ) -> None:
        self._settings = settings
        self._follow_s = grammar.timeout_ms / 1000
        self._grammars = CompiledGrammars(grammar)
        self._max_running = max_running
        self._cache = PrefixCache(settings.kv_blocks)
        # dicts as ordered sets: who leaves may be anywhere in the queue.
        self._waiting: dict[_Sequence, None] = {}
        self._running: dict[_Sequence, None] = {}
        self._used_blocks = 0
        self._timer: asyncio.Handle | None = None
        self._planner: Planner

    async def load(self) -> None:
        """Raises VocabularyError."""
        tokenizer = await asyncio.to_thread(Tokenizer)
        # Not when the first constraint comes: it would stall every stream for 2 s.
        await self._grammars.load()
        self._planner = Planner(tokenizer, obey_directives=self._settings.directives)

    async def generate(self, request: EngineRequest, sink: Sink) -> Ending:
        loop = asyncio.get_running_loop()
        plan = await self._plan(request)
        length = len(request.prompt) + len(plan.token_ids)
        sequence = _Sequence(
            request,
            sink,
            plan,
            Progress(plan, self._settings),
            blocks=math.ceil(length / BLOCK_TOKENS),
            not_before=loop.time() + (plan.directives.queue_ms or 0) / 1000,
            done=loop.create_future(),
        )
        self._waiting[sequence] = None
        self._set_timer(loop)
        try:
            return await sequence.done
        finally:
            self._remove(sequence)
            self._set_timer(loop)  # somebody may take the place

    async def _plan(self, request: EngineRequest) -> Plan:
        if request.constraint is None:
            return self._planner.plan(request)
        matcher = await self._grammars.matcher(request.constraint, cache_salt=request.cache_salt)
        # In a thread: a token may take a hostile grammar 14 ms.
        return await asyncio.to_thread(
            self._planner.plan, request, matcher, give_up_at=time.monotonic() + self._follow_s
        )

    def load_now(self) -> EngineLoad:
        return EngineLoad(
            running=len(self._running),
            queued=len(self._waiting),
            kv_free_ratio=max(0.0, 1 - self._used_blocks / self._settings.kv_blocks),
        )

    async def close(self) -> None:
        assert not self._waiting and not self._running
        if self._timer is not None:
            self._timer.cancel()
        self._grammars.close()

    # --- steps -----------------------------------------------------------------

    def _step(self, loop: asyncio.AbstractEventLoop) -> None:
        # Timers may ring a little early; without this, that costs another step.
        now = loop.time() + _CLOCK_TOLERANCE_S
        self._fill_batch(now)
        for sequence in list(self._running):
            # Done already: cancelled, and its generate() has not run yet to
            # remove it.
            if sequence.due_at <= now and not sequence.done.done():
                self._advance(sequence, now, loop)
        self._set_timer(loop)

    def _fill_batch(self, now: float) -> None:
        """First come, first served, except for those that a directive holds back."""
        room = self._max_running - len(self._running)
        if room == 0:
            return
        ready = [each for each in self._waiting if each.not_before <= now and not each.done.done()]
        for sequence in ready[:room]:
            del self._waiting[sequence]
            self._running[sequence] = None
            self._used_blocks += sequence.blocks
            request = sequence.request
            sequence.sink.started(self._cache.reuse(request.prompt, request.cache_salt))
            sequence.progress.begin(now)

    def _advance(self, sequence: _Sequence, now: float, loop: asyncio.AbstractEventLoop) -> None:
        if token_ids := sequence.progress.take(now):
            logprobs = sequence.plan.logprobs
            sequence.sink.tokens(token_ids, logprobs.of(token_ids) if logprobs else ())
        if not sequence.progress.over:
            return
        match sequence.progress.trap:
            case None:
                self._remove(sequence)
                sequence.done.set_result(sequence.plan.ending)
            case Trap.FAIL:
                self._remove(sequence)
                sequence.done.set_exception(EngineFailed("as directed by fail_after"))
            case Trap.HANG:
                sequence.stuck = True
                sequence.sink.silence()
            case Trap.DIE:
                sequence.stuck = True
                loop.call_later(_LAST_WORDS_S, os._exit, 1)

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
