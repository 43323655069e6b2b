"""Constraints -> matchers, which say token by token what may follow.

A grammar that does not compile, or that nothing satisfies, is refused before it comes
near an engine: TensorRT-LLM compiles inside its executor's loop, where a bad one
stalls every stream of the GPU. Compiling goes on in threads of its own, with the GIL
released: 1.5 ms for a small schema, 25 ms for 128 functions, 700 ms for the worst that
llguidance's own limits let through.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from weakref import WeakValueDictionary

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from wire import vocabulary
from workers.engine import Busy, InvalidRequest, OutputConstraint
from workers.grammar import Schema, read_schemas, schema_grammar, turn_grammar
from workers.settings import GrammarSettings

_THREADS = 2
_SHOWN_CHARACTERS = 300  # of what the compiler says
_WHERE = re.compile(r"^at \d+\(\d+\): |failed to compile JSON schema: ")


@functools.cache
def grammar_tokenizer() -> LLTokenizer:
    """The vocabulary of the wire, as llguidance wants it: 185 MB, and one is enough.

    Takes 1.5 to 2.5 s, and holds the GIL all the while: only before there are streams
    that could be stalled. Raises VocabularyError.
    """
    control = {token_id: text for text, token_id in vocabulary.CONTROL_TOKENS.items()}
    ids = range(vocabulary.FIRST_CONTROL_TOKEN, vocabulary.SIZE)
    # Not in llguidance's stubs, but the only way that needs no Hugging Face file.
    tokenizer: LLTokenizer = LLTokenizer.from_tiktoken(  # type: ignore[attr-defined]
        encoder=vocabulary.load_ranks(),
        special_tokens={control.get(each, f"<|reserved_{each}|>"): each for each in ids},
        pattern=vocabulary.PATTERN,
        eos_token=vocabulary.RETURN,
        n_vocab=vocabulary.SIZE,
    )
    return tokenizer


@dataclass(frozen=True, slots=True)
class _Unenforceable:
    """Why there is no matcher. Kept as well: who asks once, asks again."""

    reason: str


class CompiledGrammars:
    """The matchers of the constraints that were seen lately. Lives on the engine's loop."""

    def __init__(self, settings: GrammarSettings) -> None:
        self._settings = settings
        self._known: OrderedDict[bytes, tuple[LLMatcher | _Unenforceable, int]] = OrderedDict()
        self._known_bytes = 0
        self._free_threads = asyncio.Semaphore(_THREADS)
        # A lock lives as long as somebody holds it or waits for it.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="grammar")

    async def load(self) -> None:
        """Called once, first. Raises VocabularyError."""
        await asyncio.to_thread(grammar_tokenizer)

    async def matcher(self, constraint: OutputConstraint, *, cache_salt: str) -> LLMatcher:
        """A matcher at the beginning of the turn, for one generation.

        Of those with one *cache_salt*, which are one project's, one is compiled at a time:
        whoever sends slow ones waits for them himself, and leaves a thread to the others.

        Raises:
            InvalidRequest: the constraint cannot be enforced; the text names the field.
            Busy: it is not compiled in time; it will be, for whoever asks again.
        """
        size = _size(constraint)
        if size > self._settings.max_bytes:
            raise InvalidRequest(
                f"constraint: schemas of {size} bytes; at most {self._settings.max_bytes}"
            )
        key = hashlib.blake2b(repr(constraint).encode(), digest_size=32).digest()
        if (entry := self._known.get(key)) is not None:
            self._known.move_to_end(key)
            compiled = entry[0]
        else:
            async with self._turns.setdefault(cache_salt, asyncio.Lock()):
                # Perhaps the one before us was the same.
                entry = self._known.get(key)
                compiled = entry[0] if entry else await self._compile(key, constraint, size)
        if isinstance(compiled, _Unenforceable):
            raise InvalidRequest(compiled.reason)
        return compiled.deep_copy()  # 2 us: the grammar itself is shared

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._known)

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)

    async def _compile(
        self, key: bytes, constraint: OutputConstraint, size: int
    ) -> LLMatcher | _Unenforceable:
        # The time limit begins when a thread is free: somebody else's schema is no
        # reason to refuse this one. The wait is bounded, for llguidance's work is.
        await self._free_threads.acquire()
        future = asyncio.get_running_loop().run_in_executor(
            self._threads, compile_grammar, constraint, self._settings
        )

        def keep(done: asyncio.Future[LLMatcher | _Unenforceable]) -> None:
            self._free_threads.release()
            if not done.cancelled():
                self._remember(key, done.result(), size)

        # Not after the wait: a compilation cannot be interrupted, and goes on
        # behind the back of whoever does not wait for it.
        future.add_done_callback(keep)
        done, _ = await asyncio.wait([future], timeout=self._settings.timeout_ms / 1000)
        if not done:
            # The gateway has tried it, within bounds of work: so it is this machine that is busy.
            raise Busy(f"constraint: not compiled in {self._settings.timeout_ms} ms")
        return future.result()

    def _remember(self, key: bytes, compiled: LLMatcher | _Unenforceable, size: int) -> None:
        if key in self._known:  # two generations with the same constraint began at once
            return
        self._known[key] = (compiled, size)
        self._known_bytes += size
        while (
            len(self._known) > self._settings.cache_entries
            or self._known_bytes > self._settings.cache_bytes
        ):
            _, (_, forgotten) = self._known.popitem(last=False)
            self._known_bytes -= forgotten


def compile_grammar(
    constraint: OutputConstraint, settings: GrammarSettings
) -> LLMatcher | _Unenforceable:
    """Compile, and look whether every schema can be begun. Blocks; for any thread."""
    try:
        schemas = read_schemas(constraint)
        matcher = grammar_matcher(turn_grammar(constraint), settings)
        if matcher.is_error():
            field, reason = _blame(schemas, matcher.get_error(), settings)
            return _Unenforceable(f"{field}: {reason}")
        for schema in schemas:
            if end := _dead_end(matcher.deep_copy(), schema):
                return _Unenforceable(f"{schema.field}: {end}")
    except InvalidRequest as exc:
        return _Unenforceable(str(exc))
    except BaseException as exc:  # noqa: BLE001 - a panic in Rust is no Exception
        return _Unenforceable(f"constraint: the compiler failed: {exc}")
    return matcher


def replay(matcher: LLMatcher, begun: Sequence[int]) -> None:
    """Bring *matcher* to where another worker left the turn. Blocks; for any thread.

    Raises InvalidRequest: the constraint does not lead there.
    """
    fitting = matcher.try_consume_tokens(list(begun))
    if matcher.is_error():
        complaint = matcher_complaint(matcher.get_error())
        raise InvalidRequest(f"constraint: cannot be followed: {complaint}")
    if fitting != len(begun):
        raise InvalidRequest(
            f"generated_tokens: the constraint does not allow token {begun[fitting]}, "
            f"number {fitting} of {len(begun)}"
        )


def matcher_complaint(error: str) -> str:
    """What llguidance says, without its dump of states and on one line."""
    text = _WHERE.sub("", error.split("<state>", 1)[0])
    return " ".join(_WHERE.sub("", text).split())[:_SHOWN_CHARACTERS]


def grammar_matcher(grammar: str, settings: GrammarSettings) -> LLMatcher:
    """A matcher at the beginning of *grammar*; its is_error() says whether it compiled."""
    # Engines that compile again use llguidance's defaults: ours must not be laxer.
    limits = LLParserLimits(
        initial_lexer_fuel=settings.compile_fuel,
        step_lexer_fuel=settings.step_fuel,
        max_lexer_states=50_000,  # of 1 to 2 kB; the default's would be 500 MB
    )
    return LLMatcher(grammar_tokenizer(), grammar, log_level=0, limits=limits)


def _blame(schemas: list[Schema], error: str, settings: GrammarSettings) -> tuple[str, str]:
    """The field whose schema does not compile by itself, and why."""
    deadline = time.monotonic() + settings.timeout_ms / 1000
    for schema in schemas:
        alone = grammar_matcher(schema_grammar(schema), settings)
        if alone.is_error():
            return schema.field, matcher_complaint(alone.get_error())
        if time.monotonic() > deadline:
            break
    return "constraint", matcher_complaint(error)


def _dead_end(matcher: LLMatcher, schema: Schema) -> str | None:
    """Why no token can follow the schema's header; None if one can."""
    matcher.consume_tokens(grammar_tokenizer().tokenize_str(schema.header, parse_special=True))
    matcher.compute_bitmask()
    if not matcher.is_stopped() or matcher.is_accepting():
        return None
    complaint = matcher_complaint(matcher.get_error())
    return "nothing satisfies this schema" if "NoExtension" in complaint else complaint


def _size(constraint: OutputConstraint) -> int:
    functions = sum(len(each.name) + len(each.parameters_json) for each in constraint.functions)
    return functions + len(constraint.final_schema_json)
