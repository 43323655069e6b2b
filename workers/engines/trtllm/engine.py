"""TensorRT-LLM as an Engine.

Its executor has the queue, the batch and the KV cache; this file begins generations,
reads what they become, and sees to it that none outlives its reader. A task of its own
watches the executor: when that is broken, every generation ends at once and no other
begins, whatever TensorRT-LLM says or does not say.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workers.compiled_grammars import CompiledGrammars, replay
from workers.engine import (
    Ending,
    EngineFailed,
    EngineLoad,
    EngineRequest,
    EngineTotals,
    InvalidRequest,
    Sink,
)
from workers.engines.trtllm import llm_api, warm_up
from workers.engines.trtllm.configuration import Configuration
from workers.engines.trtllm.llm_api import Library, Llm, RequestOutput
from workers.engines.trtllm.outputs import Reader
from workers.engines.trtllm.resumed_grammar import ResumedGrammar, TurnCheck
from workers.engines.trtllm.sampling import sampling_arguments
from workers.engines.trtllm.statistics import iteration_totals, kv_free_ratio, request_totals
from workers.engines.trtllm.watchdog import Watchdog
from workers.grammar import turn_grammar
from workers.settings import GrammarSettings, SettingsError

_log = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.5
_STATISTICS_S = 0.2  # to wait for the first of them
# From an abort to the report that it is done: an iteration or two. After that the
# generation is left to the executor, which will not be in a good state either.
_ABORT_S = 5.0
_SHUTDOWN_S = 20.0


@dataclass(frozen=True, slots=True)
class _Constraint:
    """How one generation is held to its constraint."""

    arguments: dict[str, Any]  # of its SamplingParams
    check: TurnCheck | None = None  # of what comes out


_UNCONSTRAINED = _Constraint({})


class TensorRtLlm:
    """An Engine on GPUs."""

    name = "tensorrt-llm"

    def __init__(
        self,
        configuration: Configuration,
        *,
        grammar: GrammarSettings,
        load_library: Callable[[], Library] = llm_api.load_library,
    ) -> None:
        self._configuration = configuration
        self._grammar_settings = grammar
        self._grammars = CompiledGrammars(grammar)
        self._load_library = load_library
        self._watchdog = Watchdog(hang_s=configuration.hang_s)
        # Of each running generation: how to end it from outside.
        self._scopes: set[asyncio.Timeout] = set()
        self._kv_free_ratio = 1.0
        self._totals = EngineTotals()
        # Tasks whose owner is between load() and close().
        self._owner = contextlib.AsyncExitStack()
        self._library: Library
        self._llm: Llm
        self._optional: frozenset[str]
        self._watch: asyncio.Task[None]

    # --- life ------------------------------------------------------------------

    async def load(self) -> None:
        """Takes 3 to 30 minutes. Raises TrtllmMissing, SettingsError, what LLM(...) raises."""
        await self._grammars.load()
        self._library = await asyncio.to_thread(self._load_library)
        arguments = self._configuration.llm_arguments()
        _log.info("TensorRT-LLM %s loads: LLM(**%r)", self._library.version, arguments)
        self._llm = await asyncio.to_thread(functools.partial(self._library.LLM, **arguments))
        self._optional = llm_api.optional_arguments(self._llm)
        if self._configuration.kv_cache_reuse and "cache_salt" not in self._optional:
            await self._shut_down()
            raise SettingsError(
                f"TensorRT-LLM {self._library.version} knows no cache_salt: projects would "
                "share the KV cache. WORKER_TRTLLM_KV_CACHE_REUSE=0 does without"
            )
        if self._configuration.warm_up:
            try:
                await warm_up.warm_up(self)
            except BaseException:
                await self._shut_down()
                raise
        # Only now: nobody knows how long the first step takes.
        tasks = await self._owner.enter_async_context(asyncio.TaskGroup())
        self._watch = tasks.create_task(self._watch_executor())

    async def close(self) -> None:
        self._watch.cancel()
        await self._owner.aclose()
        await self._shut_down()
        self._grammars.close()

    async def _shut_down(self) -> None:
        # A hanging executor hangs here as well; the process is about to end anyway.
        stopped = asyncio.get_running_loop().run_in_executor(None, self._llm.shutdown)
        done, _ = await asyncio.wait([stopped], timeout=_SHUTDOWN_S)
        if not done:
            _log.error("TensorRT-LLM did not shut down in %s s", _SHUTDOWN_S)
        elif (exc := stopped.exception()) is not None:
            _log.error("TensorRT-LLM did not shut down well", exc_info=exc)

    def load_now(self) -> EngineLoad:
        in_flight = self._watchdog.in_flight
        running = min(in_flight, self._configuration.max_running)
        return EngineLoad(
            running=running,
            queued=in_flight - running,
            kv_free_ratio=self._kv_free_ratio,
            broken=self._watchdog.broken is not None,
            totals=self._totals,
        )

    # --- generations -----------------------------------------------------------

    async def generate(self, request: EngineRequest, sink: Sink) -> Ending:
        self._refuse_if_broken()
        constraint = await self._constraint(request)
        self._refuse_if_broken()  # compiling may have taken a while
        now = asyncio.get_running_loop().time
        output = self._submit(request, constraint)
        self._watchdog.began(now())
        try:
            # No time limit: the watch sets one when the engine is broken.
            async with asyncio.timeout(None) as scope:
                self._scopes.add(scope)
                try:
                    return await self._read(output, request, constraint.check, sink)
                finally:
                    self._scopes.discard(scope)
        except TimeoutError as exc:
            raise EngineFailed(self._watchdog.broken or f"TensorRT-LLM: {exc!r}") from exc
        except (self._library.RequestError, RuntimeError) as exc:
            self._look()
            raise EngineFailed(f"TensorRT-LLM: {exc}") from exc
        finally:
            try:
                if not output.finished:
                    await self._abort(output, request)
            finally:
                self._watchdog.ended()

    def _submit(self, request: EngineRequest, constraint: _Constraint) -> RequestOutput:
        optional = {}
        if request.cache_salt and "cache_salt" in self._optional:
            optional["cache_salt"] = request.cache_salt
        try:
            params = self._library.SamplingParams(
                **sampling_arguments(request), **constraint.arguments
            )
            return self._llm.generate_async(
                {"prompt_token_ids": list(request.prompt)}, params, streaming=True, **optional
            )
        # RequestError is a RuntimeError too.
        except (ValueError, self._library.RequestError) as exc:
            raise InvalidRequest(f"TensorRT-LLM refuses it: {exc}") from exc
        except RuntimeError as exc:
            self._look()
            raise EngineFailed(f"TensorRT-LLM: {exc}") from exc

    async def _read(
        self, output: RequestOutput, request: EngineRequest, check: TurnCheck | None, sink: Sink
    ) -> Ending:
        now = asyncio.get_running_loop().time
        reader = Reader(request)
        begun = False
        async for report in output:
            self._watchdog.heard(now())
            progress = reader.read(report)
            if not begun:
                # It has begun earlier, but nobody says when.
                begun = True
                sink.started(report.cached_tokens)
            if check is not None and (complaint := check.complaint(progress.token_ids)):
                raise EngineFailed(complaint)
            if progress.token_ids:
                sink.tokens(progress.token_ids, progress.logprobs)
            if progress.ending is not None:
                self._totals += request_totals(report.outputs[0].request_perf_metrics)
                return progress.ending
        raise EngineFailed("TensorRT-LLM's reports ended before the generation")

    async def _abort(self, output: RequestOutput, request: EngineRequest) -> None:
        """Have the executor give up the place, and wait until it has."""
        if self._watchdog.broken is not None:
            return
        try:
            output.abort()
            async with asyncio.timeout(_ABORT_S):
                async for _ in output:
                    pass
        except TimeoutError:
            _log.error("%s: still not aborted after %s s", request.request_id, _ABORT_S)
        except Exception as exc:  # noqa: BLE001 - it is over, one way or the other
            _log.info("%s: aborted, and it says %r", request.request_id, exc)

    # --- constraints -----------------------------------------------------------

    async def _constraint(self, request: EngineRequest) -> _Constraint:
        if request.constraint is None:
            return _UNCONSTRAINED
        # Here first: a grammar that does not compile must not reach the executor's loop.
        matcher = await self._grammars.matcher(request.constraint, cache_salt=request.cache_salt)
        grammar = turn_grammar(request.constraint)
        if not request.generated_tokens:
            guided = self._library.GuidedDecodingParams(grammar=grammar)
            return _Constraint({"guided_decoding": guided})
        # In a thread: a token may take a hostile grammar 14 ms.
        await asyncio.to_thread(replay, matcher, request.begun)
        processor = ResumedGrammar(
            grammar,
            turn_begins_at=request.turn_begins_at,
            settings=self._grammar_settings,
        )
        return _Constraint({"logits_processor": processor}, TurnCheck(matcher))

    # --- the watch -------------------------------------------------------------

    def _refuse_if_broken(self) -> None:
        if self._watchdog.broken is not None:
            raise EngineFailed(self._watchdog.broken)

    async def _watch_executor(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            try:
                await self._read_statistics()
                self._look()
            except Exception:  # noqa: BLE001 - without the watch nobody notices a hang
                _log.exception("the watch of the executor failed")

    def _look(self) -> None:
        """End everything if the engine is broken."""
        loop = asyncio.get_running_loop()
        was_broken = self._watchdog.broken is not None
        dead = llm_api.executor_is_dead(self._llm)
        broken = self._watchdog.look(loop.time(), executor_is_dead=dead)
        if broken is None:
            return
        if not was_broken:
            _log.critical("%s: this process must be replaced", broken)
        for scope in self._scopes:
            if not scope.expired():
                scope.reschedule(loop.time())

    async def _read_statistics(self) -> None:
        if not self._watchdog.in_flight:
            self._kv_free_ratio = 1.0  # and no statistics are made
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_EVERY_S):
                async for iteration in self._llm.get_stats_async(_STATISTICS_S):
                    # Also a prompt of which nothing is to be heard yet.
                    self._watchdog.heard(asyncio.get_running_loop().time())
                    self._totals += iteration_totals(iteration)
                    if (ratio := kv_free_ratio(iteration)) is not None:
                        self._kv_free_ratio = ratio
