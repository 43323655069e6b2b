"""One generation, whichever worker ends up doing it.

async with engine.generate(generation) as chunks:
    async for chunk in chunks:
        ...
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

from gateway.generation import UNWATCHED, Chunk, Generation, GenerationWatch
from gateway.upstream.attempt import UpstreamTimeouts
from gateway.upstream.codec import encode_request
from gateway.upstream.failures import Unobserved, UpstreamObserver
from gateway.upstream.run import Run, TakeoverLimits
from gateway.upstream.workers import WorkerPool

DEFAULT_TIMEOUTS = UpstreamTimeouts()
DEFAULT_LIMITS = TakeoverLimits()


class TritonEngine:
    """Generates on the workers of a pool.

    Args:
        limits: how often other workers may take over.
        wall_clock: seconds since the Unix epoch, for deadlines.
    """

    def __init__(
        self,
        pool: WorkerPool,
        timeouts: UpstreamTimeouts = DEFAULT_TIMEOUTS,
        *,
        model_name: str = "gpt-oss-120b",
        limits: TakeoverLimits = DEFAULT_LIMITS,
        observer: UpstreamObserver | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._pool = pool
        self._timeouts = timeouts
        self._model_name = model_name
        self._limits = limits
        self._observer = observer or Unobserved()
        self._wall_clock = wall_clock

    def generate(
        self, generation: Generation, watch: GenerationWatch = UNWATCHED
    ) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        """One generation: chunks until one has a finish_reason.

        Entering chooses a worker, and asks it if there is a connection. Leaving, in any way, cancels
        what is still running. A chunk without tokens and finish_reason means that
        a worker has accepted the generation, or is still at it; they are passed
        on so that a client's connection can be kept alive. `cached_tokens` may be said
        more than once, the last word holds: a worker knows it late, or another one
        takes over.

        A worker that fails is replaced, also in the middle of the turn: the next one
        goes on behind the last token delivered, and the chunks show nothing of it but
        another `worker`.

        *watch* is told of each worker that is asked.

        Raises UpstreamError: on entry only NO_WORKER; any while iterating.
        """
        remaining_s = None
        if generation.deadline_unix_ms:
            remaining_s = generation.deadline_unix_ms / 1000 - self._wall_clock()
        return Run(
            generation,
            partial(encode_request, model_name=self._model_name),
            self._pool,
            self._timeouts,
            self._observer,
            watch,
            limits=self._limits,
            remaining_s=remaining_s,
        )
