"""Finds out which JSON schemas an engine could not enforce, before it is asked to.

Schemas are compiled in processes of their own (`compile_schemas.py` says why),
started when they are first needed and replaced when a schema has ended one.

- A project compiles one request's schemas at a time: whoever sends bombs waits
  for them himself, and holds one process of several.
- What the compiler said is kept, by project: nobody can find out by the time it
  takes whether somebody else uses a schema.
"""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from gateway.responses import errors
from gateway.responses.constraint import SentSchema
from gateway.responses.errors import ApiError, invalid_request

MAX_PROCESSES = 4
MAX_WAITING_OF_A_PROJECT = 32
MAX_KEPT = 10_000  # some 300 bytes each
# A process ends itself after 2 s of CPU time; this is for one that does not get any.
ANSWER_TIMEOUT_S = 15.0

_SCRIPT = str(Path(__file__).with_name("compile_schemas.py"))
_MAX_ANSWER_BYTES = 10_000

TOO_SLOW = "it takes too long to compile"
TOO_LARGE = "it takes too much memory to compile"

Complaint = str | None


class _CompilerProcess:
    """One process of `compile_schemas.py`."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._in = process.stdin
        self._out = BufferedByteReceiveStream(process.stdout)

    @classmethod
    async def start(cls) -> _CompilerProcess:
        # Of our environment nothing: it holds secrets. -I: nor its variables, nor our directory.
        command = [sys.executable, "-I", _SCRIPT]
        return cls(await anyio.open_process(command, env={}, stderr=None))

    async def compile(self, schemas: Sequence[str]) -> list[Complaint]:
        """What it has against each. Fewer answers than schemas: the next one has ended it."""
        complaints: list[Complaint] = []
        try:
            await self._in.send(json.dumps(schemas).encode() + b"\n")
            for _ in schemas:
                line = await self._out.receive_until(b"\n", _MAX_ANSWER_BYTES)
                complaints.append(json.loads(line))
        except (anyio.BrokenResourceError, anyio.IncompleteRead, anyio.EndOfStream):
            complaints.append(await self._last_words())
        return complaints

    async def _last_words(self) -> str:
        match -await self._process.wait():
            case signal.SIGPROF:
                return TOO_SLOW
            case signal.SIGABRT | signal.SIGSEGV | signal.SIGBUS:
                return TOO_LARGE
            case signal.SIGKILL | signal.SIGTERM:
                # Somebody else's doing: it says nothing of the schema.
                raise errors.overloaded()
            case other:
                raise AssertionError(f"the schema compiler ended with {-other}")

    @property
    def ended(self) -> bool:
        return self._process.returncode is not None

    async def kill(self) -> None:
        with anyio.CancelScope(shield=True):
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.aclose()


@dataclass
class _Project:
    """Who of one project is compiling or waits to."""

    lock: anyio.Lock = field(default_factory=anyio.Lock)
    waiting: int = 0


class SchemaCompiler:
    """A context manager; its processes end with it."""

    def __init__(
        self,
        *,
        max_processes: int = MAX_PROCESSES,
        observe: Callable[[str, float], None] = lambda result, seconds: None,
    ) -> None:
        """*observe* is told of every check for which schemas were compiled: accepted, refused,
        overloaded or cancelled, and how many seconds it took, waiting included."""
        self._observe = observe
        self._free = anyio.Semaphore(max_processes)
        self._idle: list[_CompilerProcess] = []
        self._projects: dict[str, _Project] = {}
        self._kept: OrderedDict[bytes, Complaint] = OrderedDict()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        while self._idle:
            await self._idle.pop().kill()

    async def check(self, project_id: str, schemas: Sequence[SentSchema]) -> None:
        """Raises ApiError: 400 invalid_json_schema naming the first schema that cannot be
        enforced; 429 if too many of the project's requests wait here already."""
        if self._recall(project_id, schemas):
            return
        began, result = time.perf_counter(), "cancelled"
        try:
            await self._check(project_id, schemas)
            result = "accepted"
        except ApiError as error:
            result = "refused" if error.status == 400 else "overloaded"
            raise
        finally:
            self._observe(result, time.perf_counter() - began)

    async def _check(self, project_id: str, schemas: Sequence[SentSchema]) -> None:
        project = self._projects.setdefault(project_id, _Project())
        if project.waiting >= MAX_WAITING_OF_A_PROJECT:
            raise errors.overloaded()
        project.waiting += 1
        try:
            async with project.lock:
                # Perhaps the one before us asked the same.
                if not self._recall(project_id, schemas):
                    await self._compile(project_id, schemas)
        finally:
            project.waiting -= 1
            if not project.waiting:
                self._projects.pop(project_id, None)

    def _recall(self, project_id: str, schemas: Sequence[SentSchema]) -> bool:
        """Whether all are known. Raises ApiError if one is known to be bad."""
        keys = [_key(project_id, schema.json) for schema in schemas]
        for schema, key in zip(schemas, keys, strict=True):
            if (complaint := self._kept.get(key)) is not None:
                raise _refused(schema, complaint)
        known = [key for key in keys if key in self._kept]
        for key in known:
            self._kept.move_to_end(key)
        return len(known) == len(keys)

    async def _compile(self, project_id: str, schemas: Sequence[SentSchema]) -> None:
        if self._recall(project_id, schemas):
            return
        unknown = [s for s in schemas if _key(project_id, s.json) not in self._kept]
        complaints = await self._in_a_process([schema.json for schema in unknown])
        if complaints and complaints[-1] == TOO_LARGE:
            # A process can also die of its own start. What is kept against a schema
            # must be the schema's doing: another process has to die of it as well.
            suspect = unknown[len(complaints) - 1]
            second_opinion = await self._in_a_process([suspect.json])
            self._keep(_key(project_id, suspect.json), second_opinion[0])
            await self._compile(project_id, schemas)
            return
        for index, (schema, complaint) in enumerate(zip(unknown, complaints, strict=False)):
            # Perhaps those before it took the time, and alone it is fine.
            if index == 0 or complaint != TOO_SLOW:
                self._keep(_key(project_id, schema.json), complaint)
            if complaint is not None:
                raise _refused(schema, complaint)

    async def _in_a_process(self, schemas: Sequence[str]) -> Sequence[Complaint]:
        async with self._free:
            process = await self._an_idle_process() or await _CompilerProcess.start()
            whole = False
            try:
                with anyio.fail_after(ANSWER_TIMEOUT_S):
                    complaints = await process.compile(schemas)
                whole = not process.ended
            except TimeoutError as exc:
                raise errors.overloaded() from exc
            finally:
                # Left in the middle of a job, it would answer the next one with the rest.
                if whole:
                    self._idle.append(process)
                else:
                    await process.kill()
            return complaints

    async def _an_idle_process(self) -> _CompilerProcess | None:
        while self._idle:
            process = self._idle.pop()
            if not process.ended:
                return process
            await process.kill()
        return None

    def _keep(self, key: bytes, complaint: Complaint) -> None:
        self._kept[key] = complaint
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)


def _key(project_id: str, schema: str) -> bytes:
    # No project's id holds a NUL.
    return hashlib.blake2b(f"{project_id}\0{schema}".encode(), digest_size=16).digest()


def _refused(schema: SentSchema, complaint: str) -> ApiError:
    return invalid_request(
        f"Invalid schema for '{schema.param}': {complaint}.",
        code="invalid_json_schema",
        param=schema.param,
    )
