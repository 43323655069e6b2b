"""A generation under way: the attempts at it, one after the other.

When a worker fails, another one takes over: from the prompt, or behind the tokens that
have been passed on. Whoever reads the chunks notices nothing.

    attempt --fails--> is anything left? --> who goes on? --> attempt
                          |                     |
                          v                     v
                    the last chunk        UpstreamError
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import anyio

from gateway.generation import (
    Chunk,
    Generation,
    GenerationWatch,
    UpstreamError,
    UpstreamFailure,
)
from gateway.upstream.affinity import affinity
from gateway.upstream.attempt import Attempt, Encode, UpstreamTimeouts
from gateway.upstream.failures import FINAL, AttemptFailed, Reason, UpstreamObserver, sum_up
from gateway.upstream.turn import Turn
from gateway.upstream.worker import Worker
from gateway.upstream.workers import WorkerPool

_log = logging.getLogger(__name__)

# How often it is looked whether there is a worker again that could go on.
_LOOK_AGAIN_S = 0.1


@dataclass(frozen=True, slots=True)
class TakeoverLimits:
    """How often workers may take over from each other.

    A generation may be what its workers die of: it must not take all of them with it. A worker
    that wants to be left alone (`_was_polite`) does not die: those have a limit of their own,
    so that a rolling update of all workers ends no stream that outlives each of them.
    """

    without_progress: int = 2  # one after the other, without a token in between
    in_all: int = 3
    polite: int = 64


class Run:
    """A generation under way: context manager and iterator in one.

    Not an async generator: if one is left early, its `finally` waits for the
    garbage collector.
    """

    def __init__(
        self,
        generation: Generation,
        encode: Encode,
        pool: WorkerPool,
        timeouts: UpstreamTimeouts,
        observer: UpstreamObserver,
        watch: GenerationWatch,
        *,
        limits: TakeoverLimits,
        remaining_s: float | None,
    ) -> None:
        self._generation = generation
        self._constrained = generation.constraint is not None
        self._turn = Turn(generation)
        self._affinity = affinity(generation)
        self._encode = encode
        self._pool = pool
        self._timeouts = timeouts
        self._observer = observer
        self._watch = watch
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._first_token_at = self._loop.time() + timeouts.first_token_s
        self._end_at = None if remaining_s is None else self._loop.time() + remaining_s
        self._failures: list[AttemptFailed] = []
        self._deaths = 0  # failures that were not polite
        self._deaths_in_a_row = 0  # since the last token
        self._tried: list[Worker] = []  # since the last token
        self._finished = False  # the last chunk has been passed on
        self._attempt: Attempt | None = None  # None: not entered, or over

    async def __aenter__(self) -> Self:
        self._attempt = self._next_attempt()
        if self._attempt is None:
            raise UpstreamError(UpstreamFailure.NO_WORKER, "no worker is available")
        try:
            await self._attempt.begin()
        except BaseException:  # then nobody leaves what nobody has entered
            self._close("cancelled")
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close("" if self._finished else "cancelled")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        while self._attempt is not None and not self._finished:
            try:
                chunk = await self._attempt.receive()
            except AttemptFailed as failed:
                if (last := await self._after_failure(self._attempt, failed)) is not None:
                    return last
            else:
                return self._pass_on(self._attempt, chunk)
        await self._end()
        raise StopAsyncIteration

    def _pass_on(self, attempt: Attempt, chunk: Chunk) -> Chunk:
        if attempt.load is not None:
            self._pool.note_load(attempt.worker, attempt.load)
        if chunk.token_ids:
            self._turn.add(chunk.token_ids)
            self._tried = [attempt.worker]
            self._deaths_in_a_row = 0
        if chunk.finish_reason is not None:
            self._finished = True
        if attempt.generated_tokens and chunk.cached_tokens is not None:
            # Cached or not, this worker reads half a turn that nobody pays for as input.
            chunk = replace(chunk, cached_tokens=None)
        return chunk

    async def _after_failure(self, attempt: Attempt, failed: AttemptFailed) -> Chunk | None:
        """Have another worker go on; or the last chunk, if only that was missing.

        Raises UpstreamError if nobody can go on.
        """
        if attempt.ended:  # the worker itself said so, in its last chunk
            await self._read_to_the_end(attempt)
        self._close(failed.reason.value)
        self._blame(attempt.worker, failed)
        self._count(failed)
        if (ending := self._turn.ending()) is not None:
            self._finished = True
            return Chunk(finish_reason=ending, worker=attempt.worker.address)
        self._attempt = None if self._must_end(failed) else await self._successor()
        if self._attempt is None:
            raise sum_up(
                self._failures,
                constrained=self._constrained,
                generated_tokens=len(self._turn),
            ) from failed
        self._observer.taken_over(len(self._turn))
        return None

    def _count(self, failed: AttemptFailed) -> None:
        self._failures.append(failed)
        if not self._was_polite(failed):
            self._deaths += 1
            self._deaths_in_a_row += 1

    def _was_polite(self, failed: AttemptFailed) -> bool:
        """The worker is well: it stops, or has no room for one more."""
        # Before the first token no worker is asked twice. Later one may be, and if all are
        # full, each of many turns would knock ten times a second.
        return failed.reason is Reason.DRAINING or (
            failed.reason is Reason.OVERLOADED and not self._turn
        )

    def _must_end(self, failed: AttemptFailed) -> bool:
        return (
            failed.reason in FINAL
            or self._deaths_in_a_row > self._limits.without_progress
            or self._deaths > self._limits.in_all
            or len(self._failures) - self._deaths > self._limits.polite
        )

    async def _successor(self) -> Attempt | None:
        attempt = self._next_attempt()
        if attempt is not None or not self._turn:
            return attempt
        # Half an answer is out: somebody who comes back soon is better than nobody,
        # and may be one who failed before.
        wait_until = self._loop.time() + self._timeouts.takeover_s
        while attempt is None and self._loop.time() < wait_until:
            await anyio.sleep(_LOOK_AGAIN_S)
            attempt = self._next_attempt(again=True)
        return attempt

    def _next_attempt(self, *, again: bool = False) -> Attempt | None:
        worker = self._pool.choose(self._affinity, exclude=() if again else self._tried)
        if worker is None:
            return None
        self._tried.append(worker)
        rest = self._turn.rest()
        first_token_at = self._first_token_at
        if self._turn:
            first_token_at = self._loop.time() + self._timeouts.first_token_s
        return Attempt(
            worker,
            rest,
            self._encode,
            self._timeouts,
            self._watch.attempt(worker.address, generated_tokens=len(self._turn)),
            first_token_at=first_token_at,
            end_at=self._end_at,
        )

    async def _end(self) -> None:
        if self._attempt is not None:
            await self._read_to_the_end(self._attempt)
            self._close()

    async def _read_to_the_end(self, attempt: Attempt) -> None:
        try:
            await attempt.end()
        except AttemptFailed as failed:
            # Too late to matter to this generation.
            self._blame(attempt.worker, failed)

    def _blame(self, worker: Worker, failed: AttemptFailed) -> None:
        self._pool.note_failure(worker, failed, cache_salt=self._generation.cache_salt)
        if failed.reason not in FINAL:
            self._observer.worker_failed(worker.address, failed.reason.value)
        # What the contract forbids, we sent: a bug of ours, unless it is a tenant's schema.
        bug = failed.reason is Reason.INVALID_ARGUMENT and not self._constrained
        _log.log(
            logging.ERROR if bug else logging.WARNING,
            "generation %s failed on worker %s after %d tokens: %s: %s",
            self._generation.request_id,
            worker.address,
            len(self._turn),
            failed.reason.value,
            failed,
        )

    def _close(self, failure: str = "") -> None:
        if self._attempt is not None:
            self._attempt.close(failure)
            self._attempt = None
