"""A generation under way: the attempts at it, one after the other.

Until the first token another worker may take over, and nobody will notice. After
it a failure is the tenant's to see.
"""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Self

from tritonclient.grpc.service_pb2 import ModelInferRequest

from gateway.generation import Chunk, Generation, UpstreamError, UpstreamFailure
from gateway.upstream.attempt import Attempt, UpstreamTimeouts
from gateway.upstream.failures import FINAL, AttemptFailed, Reason, UpstreamObserver, sum_up
from gateway.upstream.worker import Worker
from gateway.upstream.workers import WorkerPool

_log = logging.getLogger(__name__)


class Run:
    """A generation under way: context manager and iterator in one.

    Not an async generator: if one is left early, its `finally` waits for the
    garbage collector.
    """

    def __init__(
        self,
        generation: Generation,
        request: ModelInferRequest,
        pool: WorkerPool,
        timeouts: UpstreamTimeouts,
        observer: UpstreamObserver,
        *,
        takeovers: int,
        remaining_s: float | None,
    ) -> None:
        self._generation = generation
        self._constrained = generation.constraint is not None
        self._request = request
        self._pool = pool
        self._timeouts = timeouts
        self._observer = observer
        self._takeovers = takeovers
        now = asyncio.get_running_loop().time()
        self._first_token_at = now + timeouts.first_token_s
        self._end_at = None if remaining_s is None else now + remaining_s
        self._failures: list[AttemptFailed] = []
        self._tried: list[Worker] = []
        self._finished = False  # the last chunk has been passed on
        self._attempt: Attempt | None = None  # None: not entered, or over

    async def __aenter__(self) -> Self:
        self._attempt = self._next_attempt()
        if self._attempt is None:
            raise UpstreamError(UpstreamFailure.NO_WORKER, "no worker is available")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        while self._attempt is not None and not self._finished:
            try:
                chunk = await self._attempt.receive()
            except AttemptFailed as failed:
                if self._attempt.ended:  # the worker itself said so, in its last chunk
                    await self._read_to_the_end(self._attempt)
                self._attempt = self._take_over(self._attempt, failed)
            else:
                return self._pass_on(self._attempt, chunk)
        await self._end()
        raise StopAsyncIteration

    def _pass_on(self, attempt: Attempt, chunk: Chunk) -> Chunk:
        if attempt.draining:
            self._pool.note_draining(attempt.worker)
        if chunk.finish_reason is not None:
            self._finished = True
        return chunk

    def _take_over(self, attempt: Attempt, failed: AttemptFailed) -> Attempt:
        """Begin again on another worker. Raises UpstreamError if that is not to be."""
        self._close()
        self._blame(attempt.worker, failed)
        self._failures.append(failed)
        if failed.reason in FINAL:
            raise sum_up(self._failures, constrained=self._constrained) from failed
        if attempt.has_tokens:
            raise UpstreamError(
                UpstreamFailure.ENGINE_FAILED, f"{failed.reason.value} after tokens: {failed}"
            ) from failed
        successor = None if len(self._failures) > self._takeovers else self._next_attempt()
        if successor is None:
            raise sum_up(self._failures, constrained=self._constrained) from failed
        self._observer.retried()
        return successor

    def _next_attempt(self) -> Attempt | None:
        worker = self._pool.choose(exclude=self._tried)
        if worker is None:
            return None
        self._tried.append(worker)
        return Attempt(
            worker,
            self._request,
            self._timeouts,
            tokens=len(self._generation.prompt) + self._generation.max_output_tokens,
            first_token_at=self._first_token_at,
            end_at=self._end_at,
            wants_logprobs=self._generation.top_logprobs is not None,
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
            "generation %s failed on worker %s: %s: %s",
            self._generation.request_id,
            worker.address,
            failed.reason.value,
            failed,
        )

    def _close(self) -> None:
        if self._attempt is not None:
            self._attempt.close()
            self._attempt = None
