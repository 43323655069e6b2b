"""The worker: takes requests, runs the engine, ends every generation once.

Threads, and who may do what on them:

    Triton's       submit(): read and check a request, hand it to the engine's loop
    engine         one asyncio loop: the engine, and a task for each generation
    sender-N       Senders: chunks to Triton
    watch          every cancel_poll_ms: cancellations, heartbeats, drain, metrics

Knows nothing of Triton: `triton_model.py` plugs it in.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import logging
import threading
import time
from collections.abc import Callable, Sequence

from wire.v1 import generation_pb2 as wire
from workers import codec
from workers.delivery import Outbox, chunk_interval_s, gathering_s
from workers.engine import (
    Busy,
    Engine,
    EngineFailed,
    EngineLoad,
    EngineRequest,
    InvalidRequest,
    Sink,
)
from workers.live import Channel, Farewell, LiveGeneration, OwnStream, Tally
from workers.senders import Senders
from workers.settings import WorkerSettings
from workers.shared_stream import SharedStream

_log = logging.getLogger(__name__)

# How long a refused gateway should leave us alone: about the time in which a few
# of a full batch's generations end.
RETRY_AFTER_MS = 1000


class Worker:
    """One engine, and the generations that it works on."""

    def __init__(
        self,
        engine: Engine,
        settings: WorkerSettings,
        *,
        publish: Callable[[EngineLoad, Tally], None],
    ) -> None:
        """*publish* is called from the watch, to bring figures to the metrics."""
        self._engine = engine
        self._settings = settings
        self._publish = publish
        self._tally = Tally()
        self._live: set[LiveGeneration] = set()
        self._shared: dict[str, SharedStream] = {}  # by name; those that are not over
        self._live_lock = threading.Lock()  # of the two above
        self._draining_since: float | None = None
        self._closing = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._tasks: asyncio.TaskGroup
        self._closed: asyncio.Event
        self._senders: Senders
        self._threads: list[threading.Thread] = []

    # --- life ----------------------------------------------------------------

    def start(self) -> None:
        """Load the engine and start the threads. Raises what the engine raises."""
        loaded: concurrent.futures.Future[None] = concurrent.futures.Future()
        engine = threading.Thread(
            target=lambda: asyncio.run(self._run_engine(loaded)), name="engine", daemon=True
        )
        engine.start()
        loaded.result()
        self._senders = Senders(self._settings.sender_threads, self.load)
        watch = threading.Thread(target=self._watch, name="watch", daemon=True)
        watch.start()
        self._threads = [watch, engine]

    def drain(self) -> None:
        """Refuse new work from now on."""
        if self._draining_since is None:
            _log.info("draining: new requests are refused")
            self._draining_since = time.monotonic()

    def close(self) -> None:
        """End what is still running, deliver its last chunks, end all threads."""
        self.drain()
        self._closing.set()
        self._loop.call_soon_threadsafe(self._closed.set)
        for thread in self._threads:
            thread.join()
        for shared in self._shared_streams():
            shared.end(codec.error(wire.Error.DRAINING, "the worker stops"))
        self._senders.close()

    def load(self) -> wire.WorkerLoad:
        """What chunks and metrics say about how busy we are. From any thread."""
        return codec.worker_load(
            self._engine.load_now(),
            draining=self._draining_since is not None,
            max_running=self._settings.max_running,
        )

    def ready(self) -> bool:
        """Whether new work is taken. From any thread."""
        return self._draining_since is None and not self._engine.load_now().broken

    def figures(self) -> tuple[EngineLoad, Tally]:
        """What metrics say. From any thread."""
        return self._engine.load_now(), self._tally

    # --- Triton's thread -----------------------------------------------------

    def submit(self, prompt: Sequence[int], blob: bytes, channel: Channel) -> None:
        """Serve one request, or refuse it; either way *channel* hears all about it."""
        job = codec.read_job(prompt, blob, context_tokens=self._settings.context_tokens)
        if isinstance(job, codec.Cancellation):
            self._cancel_numbered(job)
            self._senders.schedule(Farewell("a cancellation", channel))
            return
        outbox = Outbox(
            engine=self._engine.name,
            arrived_at=time.monotonic(),
            heartbeat_s=self._settings.heartbeat_ms / 1000,
            generated_tokens=job.generated_tokens,
        )
        generation = LiveGeneration(
            job.request_id,
            channel,
            outbox,
            OwnStream(self._senders.schedule),
            prompt_tokens=len(prompt),
            tally=self._tally,
            interval_s=self._chunk_interval_s,
        )
        match job:
            case codec.Job(delivery=delivery) | codec.Refusal(delivery=delivery) if (
                delivery.asked_there and not self._route(generation, delivery)
            ):
                # So the shared stream is over, and the gateway has heard that, or will.
                self._senders.schedule(Farewell(job.request_id, channel))
            case codec.Refusal(error=error):
                generation.end(error)
            case codec.SharedStreamRequest() if self._draining_since is not None:
                generation.end(_draining())
            case codec.SharedStreamRequest(name) if name in self._shared:
                generation.end(codec.error(wire.Error.INVALID_ARGUMENT, "there is one so named"))
            case codec.SharedStreamRequest(name):
                self._share(name, channel, outbox)
            case codec.Ping():
                # Through the loop: if the engine blocks it, we are not alive.
                pong = wire.Finished(reason=wire.Finished.PONG)
                self._loop.call_soon_threadsafe(generation.end, pong)
            case codec.Job():
                if (refusal := self._admit(generation)) is not None:
                    generation.end(refusal)
                else:
                    outbox.patience_s = job.delivery.interval_ms / 1000
                    if not job.delivery.asked_there:
                        self._route(generation, job.delivery)
                    self._loop.call_soon_threadsafe(self._begin, generation, job)

    def _share(self, name: str, channel: Channel, outbox: Outbox) -> None:
        """Begin a shared stream."""
        shared = SharedStream(
            name,
            channel,
            outbox,
            schedule=self._senders.schedule,
            later=self._later,
            gather_s=self._gather_s,
        )
        with self._live_lock:
            self._shared[name] = shared
        shared.wake()

    def _route(self, generation: LiveGeneration, delivery: codec.Delivery) -> bool:
        """Have it delivered on the shared stream that it names, if there is one so named."""
        shared = self._shared.get(delivery.shared_stream)
        if shared is None or not shared.join(generation, delivery.number):
            return False
        if delivery.asked_there:
            generation.left = shared.ended
        return True

    def _cancel_numbered(self, cancellation: codec.Cancellation) -> None:
        shared = self._shared.get(cancellation.shared_stream)
        if shared is not None:
            generations = shared.numbered(set(cancellation.numbers))
            self._loop.call_soon_threadsafe(self._cancel, generations)

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._loop.call_later, seconds, call)
        except RuntimeError:  # the loop is closed: there is nobody left to wait for
            call()

    def _gather_s(self, generations: int) -> float:
        return gathering_s(generations, self._settings.chunks_per_second)

    def _chunk_interval_s(self) -> float:
        return chunk_interval_s(len(self._live), self._settings.chunks_per_second)

    def _admit(self, generation: LiveGeneration) -> wire.Error | None:
        """Note *generation* as live; or say why not."""
        if self._draining_since is not None:
            return _draining()
        room = self._settings.max_running + self._settings.max_queued
        with self._live_lock:
            if len(self._live) < room:
                self._live.add(generation)
                return None
        return codec.error(
            wire.Error.OVERLOADED,
            f"{room} generations are running or queued",
            retry_after_ms=RETRY_AFTER_MS,
        )

    # --- the engine's loop ---------------------------------------------------

    async def _run_engine(self, loaded: concurrent.futures.Future[None]) -> None:
        try:
            await self._engine.load()
        except BaseException as exc:  # noqa: BLE001 - start() raises it
            loaded.set_exception(exc)
            return
        self._loop = asyncio.get_running_loop()
        self._closed = asyncio.Event()
        async with asyncio.TaskGroup() as self._tasks:
            loaded.set_result(None)
            await self._closed.wait()
            self._cancel(self._snapshot())
        await self._engine.close()

    def _begin(self, generation: LiveGeneration, job: codec.Job) -> None:
        generation.task = self._tasks.create_task(self._serve(generation, job))
        # Not at the end of _serve: a task that is cancelled before its first
        # step never runs a line of it.
        generation.task.add_done_callback(functools.partial(self._end, generation))

    async def _serve(self, sink: Sink, job: codec.Job) -> wire.Finished | wire.Error:
        """Generate, and return the generation's last word. Raises only CancelledError."""
        request = job.request
        deadline = asyncio.timeout(_seconds_left(job.deadline_unix_ms))
        try:
            async with deadline:
                return codec.finished(await self._engine.generate(request, sink))
        except TimeoutError as exc:
            if deadline.expired():
                return codec.error(wire.Error.DEADLINE, "deadline_unix_ms has passed")
            return _engine_failed(request, exc)
        except Busy as exc:
            return codec.error(wire.Error.OVERLOADED, str(exc), retry_after_ms=RETRY_AFTER_MS)
        except InvalidRequest as exc:
            return codec.error(wire.Error.INVALID_ARGUMENT, str(exc))
        except Exception as exc:  # noqa: BLE001 - an engine may raise anything
            return _engine_failed(request, exc)

    def _end(
        self,
        generation: LiveGeneration,
        task: asyncio.Task[wire.Finished | wire.Error],
    ) -> None:
        with self._live_lock:
            self._live.discard(generation)
        if not task.cancelled():
            generation.end(task.result())
        elif self._draining_since is None:
            generation.end(wire.Finished(reason=wire.Finished.CANCELLED))
        else:
            # Also for a gateway that has just cancelled: it does not listen.
            generation.end(codec.error(wire.Error.DRAINING, "the worker stops"))

    def _cancel(self, generations: Sequence[LiveGeneration]) -> None:
        for generation in generations:
            # Once: the watch sees it cancelled at every poll, and the engine may take a while
            # to give up the place. A second cancellation would cut that short.
            if generation.task is not None and not generation.task.cancelling():
                generation.task.cancel()

    # --- the watch -----------------------------------------------------------

    def _watch(self) -> None:
        while not self._closing.wait(self._settings.cancel_poll_ms / 1000):
            try:
                self._look_around()
            except Exception:  # noqa: BLE001
                # Without the watch nothing is ever cancelled again: try on.
                _log.exception("the watch failed")

    def _look_around(self) -> None:
        live = self._snapshot()
        # Each question is a round trip of 30-50 us to Triton: once a poll, never
        # once a chunk.
        if cancelled := [each for each in live if each.broken or _is_left(each)]:
            self._loop.call_soon_threadsafe(self._cancel, cancelled)
        for generation in live:
            generation.wake()  # for its heartbeat
        for shared in self._shared_streams():
            self._look_after(shared)
        if self._settings.drain_file is not None and self._settings.drain_file.exists():
            self.drain()
        if self._drained_too_long():
            self._loop.call_soon_threadsafe(self._cancel, live)
        self._publish(*self.figures())

    def _look_after(self, shared: SharedStream) -> None:
        if shared.over:
            with self._live_lock:
                del self._shared[shared.name]
        elif _is_left(shared):
            # Whoever left it has left all that were delivered there.
            shared.end(wire.Finished(reason=wire.Finished.CANCELLED))
            self._loop.call_soon_threadsafe(self._cancel, shared.generations)
        elif self._draining_since is not None and not shared.generations:
            shared.end(_draining())
        else:
            shared.wake()

    def _drained_too_long(self) -> bool:
        since = self._draining_since
        return since is not None and time.monotonic() - since > self._settings.drain_ms / 1000

    def _snapshot(self) -> list[LiveGeneration]:
        with self._live_lock:
            return list(self._live)

    def _shared_streams(self) -> list[SharedStream]:
        with self._live_lock:
            return list(self._shared.values())


def _is_left(stream: LiveGeneration | SharedStream) -> bool:
    try:
        return stream.left()
    except Exception:  # noqa: BLE001
        # A way back that cannot be asked is lost. One must not keep the others
        # from being asked.
        _log.exception("%s: cannot ask whether it is left", stream.name)
        return True


def _draining() -> wire.Error:
    return codec.error(wire.Error.DRAINING, "the worker is about to stop")


def _seconds_left(deadline_unix_ms: int) -> float | None:
    return deadline_unix_ms / 1000 - time.time() if deadline_unix_ms else None


def _engine_failed(request: EngineRequest, exc: Exception) -> wire.Error:
    if not isinstance(exc, EngineFailed):
        _log.error("%s: the engine raised", request.request_id, exc_info=exc)
    return codec.error(wire.Error.ENGINE_FAILED, f"{type(exc).__name__}: {exc}")
