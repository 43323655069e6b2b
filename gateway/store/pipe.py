"""The scripts of many requests on one connection: answers come in the order of the questions.

redis-py takes a connection out of its pool for each call, packs the words in Python and arms a
time-out for each direction. A request waits for two calls, so what a call costs is counted
(docs/decisions/0030-one-connection-to-redis.md). Making connections, TLS, passwords and
sentinels stay redis-py's.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self

import anyio
import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError, ResponseError

_log = logging.getLogger(__name__)

# To ask several sentinels, one of which is away, connect and say a password. Who asks has
# less patience, and finds the connection next time.
CONNECT_S = 2.0
# Silence is counted in ticks of the event loop, for the reason that patience.py gives.
TICKS = 4

_THE_END = "the gateway ends"


class Script(Protocol):
    """A script of ours, as redis-py has them too."""

    async def __call__(self, *, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Raises RedisError or OSError."""


class Scripting(Protocol):
    """Runs scripts: a `Pipe`, or a client of redis-py."""

    def register_script(self, script: str) -> Script: ...


class Pipe:
    """An async context manager. There is a connection as soon as somebody asks, and another one
    when it fails, when Redis has become a replica, or says nothing for *timeout_s* though it
    was asked."""

    def __init__(
        self, make_connection: Callable[[], AbstractConnection], *, timeout_s: float
    ) -> None:
        self._make_connection = make_connection
        self._timeout_s = timeout_s
        self._line: _Line | None = None
        self._is_open = False
        self._tasks: anyio.abc.TaskGroup

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._is_open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._is_open = False
        self._tasks.cancel_scope.cancel()
        try:
            return await self._tasks.__aexit__(kind, error, traceback)
        finally:
            if self._line is not None:  # one that has never run tells nobody itself
                self._line.end(_THE_END)

    def register_script(self, script: str) -> Script:
        return _PipedScript(self, script)

    async def call(self, *words: str | float | bytes) -> Any:
        """Redis's answer to a command. Raises RedisError or OSError; what was asked may have
        happened then."""
        if not self._is_open:
            raise RedisConnectionError(_THE_END)
        command = hiredis.pack_command(words)  # type: ignore[arg-type]  # a tuple of any length
        line = self._line
        if line is None or line.is_over:
            line = self._line = _Line(self._make_connection(), self._timeout_s)
            self._tasks.start_soon(line.run)
        return await line.ask(command)


class _PipedScript:
    def __init__(self, pipe: Pipe, script: str) -> None:
        self._pipe = pipe
        self._script = script
        self._sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, *, keys: Sequence[str], args: Sequence[Any]) -> Any:
        words = ("EVALSHA", self._sha, len(keys), *keys, *args)
        try:
            return await self._pipe.call(*words)
        except NoScriptError:  # Redis was restarted, or replaced
            await self._pipe.call("SCRIPT", "LOAD", self._script)
            return await self._pipe.call(*words)


class _Line:
    """One connection, from its making to its end.

    Who asks only leaves its command here and waits for its answer: it can be cancelled at any
    moment, and nothing that befalls the connection befalls it but a RedisConnectionError.
    """

    def __init__(self, connection: AbstractConnection, timeout_s: float) -> None:
        self.is_over = False
        self._connection = connection
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._scope = anyio.CancelScope()  # of all that uses the connection
        self._unsent: list[tuple[bytes, asyncio.Future[Any]]] = []
        self._something_is_unsent = asyncio.Event()
        self._awaited: deque[asyncio.Future[Any]] = deque()
        self._ticker: asyncio.TimerHandle | None = None
        self._silent_ticks = 0

    def ask(self, command: bytes) -> asyncio.Future[Any]:
        """The answer to be awaited. Only while the line is not over."""
        answer = self._loop.create_future()
        self._unsent.append((command, answer))
        self._something_is_unsent.set()
        return answer

    async def run(self) -> None:
        """Ends when the connection does."""
        try:
            with self._scope:
                await self._ends_with(self._connect)
                if not self.is_over:
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(self._ends_with, self._speak)
                        tasks.start_soon(self._ends_with, self._listen)
        finally:
            self.end(_THE_END)
            with anyio.CancelScope(shield=True):
                await self._ends_with(partial(self._connection.disconnect, nowait=True))

    async def _ends_with(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do *work*; if it fails, the line is over."""
        try:
            await work()
        except (RedisError, OSError, RuntimeError) as exc:  # the last: uvloop, of what is closed
            self.end(f"{type(exc).__name__}: {exc}")
        except Exception as exc:  # noqa: BLE001 - those who wait must hear of it
            _log.exception("the connection to Redis failed")
            self.end(repr(exc))

    async def _connect(self) -> None:
        with anyio.fail_after(CONNECT_S):
            await self._connection.connect()  # type: ignore[no-untyped-call]
        # So far each answer was waited for so long. From here on we watch over all of them together;
        # with a time-out of its own redis-py makes a task of each write.
        self._connection.socket_timeout = None

    async def _speak(self) -> None:
        while True:
            await self._something_is_unsent.wait()
            self._something_is_unsent.clear()
            # Who has stopped waiting meanwhile need not ask.
            waiting = [each for each in self._unsent if not each[1].done()]
            self._unsent.clear()
            if not waiting:
                continue
            self._awaited.extend(answer for _, answer in waiting)
            if self._ticker is None:
                self._silent_ticks = 0
                self._tick_later()
            await self._connection.send_packed_command(
                [command for command, _ in waiting], check_health=False
            )

    async def _listen(self) -> None:
        while True:
            try:
                reply = await self._connection.read_response(timeout=math.inf)
            except ReadOnlyError:
                raise  # a replica now: another connection may lead to the new master
            except ResponseError as exc:
                reply = exc  # is an answer, too
            self._silent_ticks = 0
            if not self._awaited:
                raise RedisConnectionError("an answer that nobody has asked for")
            answer = self._awaited.popleft()
            if answer.done():
                continue  # nobody waits any more
            if isinstance(reply, ResponseError):
                answer.set_exception(reply)
            else:
                answer.set_result(reply)

    def _tick_later(self) -> None:
        self._ticker = self._loop.call_later(self._timeout_s / TICKS, self._tick)

    def _tick(self) -> None:
        if not self._awaited:
            self._ticker = None
            return
        self._silent_ticks += 1
        if self._silent_ticks > TICKS:
            self.end(f"no answer within {1000 * self._timeout_s:.0f} ms")
        else:
            self._tick_later()

    def end(self, why: str) -> None:
        """Nobody gets an answer any more. May be repeated: the first word counts."""
        self.is_over = True
        self._scope.cancel()
        if self._ticker is not None:
            self._ticker.cancel()
        for answer in (*self._awaited, *(answer for _, answer in self._unsent)):
            if not answer.done():
                answer.set_exception(RedisConnectionError(why))
        self._awaited.clear()
        self._unsent.clear()
