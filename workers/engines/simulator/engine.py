"""The simulator as an Engine: plans what is said; a Pace says it.

What is said is planned when a request comes in (plan.py). When, and who waits for
whom, is the pace's: set by hand, or that of a GPU if a preset is chosen.
"""

from __future__ import annotations

import asyncio

from workers.compiled_grammars import CompiledGrammars
from workers.engine import Ending, EngineLoad, EngineRequest, Sink
from workers.engines.simulator.continuous_batching import ContinuousBatching
from workers.engines.simulator.cost_model import PRESETS
from workers.engines.simulator.fixed_pace import FixedPace
from workers.engines.simulator.generation import Pace
from workers.engines.simulator.plan import Plan, Planner
from workers.engines.simulator.tokenizer import Tokenizer
from workers.settings import GrammarSettings, SimulatorSettings

_GRAMMAR_SETTINGS = GrammarSettings()


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
        self._pace = _pace(settings, max_running)
        self._planner: Planner

    async def load(self) -> None:
        """Raises VocabularyError."""
        tokenizer = await asyncio.to_thread(Tokenizer)
        # Not when the first constraint comes: it would stall every stream for 2 s.
        await self._grammars.load()
        self._planner = Planner(tokenizer, obey_directives=self._settings.directives)

    async def generate(self, request: EngineRequest, sink: Sink) -> Ending:
        return await self._pace.run(request, sink, await self._plan(request))

    async def _plan(self, request: EngineRequest) -> Plan:
        if request.constraint is None:
            return self._planner.plan(request)
        matcher = await self._grammars.matcher(request.constraint, cache_salt=request.cache_salt)
        # In a thread: a token may take a hostile grammar 14 ms.
        return await asyncio.to_thread(
            self._planner.plan, request, matcher, follow_s=self._follow_s
        )

    def load_now(self) -> EngineLoad:
        return self._pace.load_now()

    async def close(self) -> None:
        self._pace.close()
        self._grammars.close()


def _pace(settings: SimulatorSettings, max_running: int) -> Pace:
    if not settings.preset:
        return FixedPace(settings, max_running=max_running)
    return ContinuousBatching(
        PRESETS[settings.preset],
        max_running=max_running,
        kv_blocks=settings.kv_blocks,
        time_factor=settings.speed,
    )
