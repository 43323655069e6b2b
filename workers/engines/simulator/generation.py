"""One generation in the simulator: what it will say, and to whom.

When it says it, a Pace decides: `fixed_pace.py` or `continuous_batching.py`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from workers.engine import Ending, EngineFailed, EngineLoad, EngineRequest, Sink
from workers.engines.simulator.plan import Plan
from workers.engines.simulator.progress import Trap

# Before the process dies as directed: time for the senders to deliver what was
# said before. Nobody can wait for more: a dead process answers no question.
_LAST_WORDS_S = 0.2


@dataclass(frozen=True, slots=True)
class Generation:
    """A request, its plan and its sink."""

    request: EngineRequest
    sink: Sink
    plan: Plan
    done: asyncio.Future[Ending]

    def say(self, token_ids: Sequence[int]) -> None:
        """The plan's next tokens."""
        logprobs = self.plan.logprobs
        self.sink.tokens(token_ids, logprobs.of(token_ids) if logprobs else ())

    def end(self, trap: Trap | None) -> bool:
        """All is said. False: it hangs, and keeps its place."""
        match trap:
            case None:
                self.done.set_result(self.plan.ending)
                return True
            case Trap.FAIL:
                self.done.set_exception(EngineFailed("as directed by fail_after"))
                return True
            case Trap.HANG:
                self.sink.silence()
                return False
            case Trap.DIE:
                asyncio.get_running_loop().call_later(_LAST_WORDS_S, os._exit, 1)
                return False


class Pace(Protocol):
    """Who advances when, and who waits."""

    async def run(self, request: EngineRequest, sink: Sink, plan: Plan) -> Ending:
        """As Engine.generate(), what will be said being known."""

    def load_now(self) -> EngineLoad:
        """As Engine.load_now()."""

    def close(self) -> None:
        """Called once, last, when no run() is running."""
