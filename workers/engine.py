"""What the worker asks of a generation engine, whichever it is.

Engines live in `workers/engines/`. They run on one asyncio loop, know nothing of
Triton or the wire, and push what they generate into a Sink: nothing is yielded
out of a place that owns a slot in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class InvalidRequest(Exception):
    """No engine of this kind would take the request; the text says why."""


class Busy(Exception):
    """The engine is well, and has no time for this one now: another worker may, or this one later."""


class EngineFailed(Exception):
    """The engine could not go on with one generation."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn; the values are those of wire.v1.Sampling."""

    temperature: float
    top_p: float
    seed: int | None
    presence_penalty: float
    frequency_penalty: float


GREEDY = Sampling(temperature=0, top_p=1, seed=None, presence_penalty=0, frequency_penalty=0)


@dataclass(frozen=True, slots=True)
class Function:
    """One that the model may call."""

    name: str
    parameters_json: str  # "" = any JSON object


@dataclass(frozen=True, slots=True)
class OutputConstraint:
    """What the turn may hold; the fields are those of wire.v1.OutputConstraint."""

    functions: tuple[Function, ...]
    call_required: bool
    final_schema_json: str  # "" = free text


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """One generation. Checked: the ids exist, prompt and max_tokens fit the context."""

    request_id: str
    prompt: Sequence[int]
    max_tokens: int
    sampling: Sampling
    stop_token_ids: frozenset[int]
    cache_salt: str
    constraint: OutputConstraint | None = None
    top_logprobs: int | None = None  # None: no log probabilities are wanted
    # So many of the prompt's last ids are the turn's first: another worker generated them.
    # The constraint's grammar begins there, and so do penalties, if the engine can.
    generated_tokens: int = 0

    @property
    def turn_begins_at(self) -> int:
        """So many of the prompt's ids are not the turn's."""
        return len(self.prompt) - self.generated_tokens

    @property
    def begun(self) -> Sequence[int]:
        """The turn's first ids, as another worker generated them."""
        return self.prompt[self.turn_begins_at :]


@dataclass(frozen=True, slots=True)
class Stopped:
    """The last token was one of the request's stop_token_ids."""

    token_id: int


@dataclass(frozen=True, slots=True)
class LengthReached:
    """max_tokens, or the model's context, was used up."""


Ending = Stopped | LengthReached


@dataclass(frozen=True, slots=True)
class EngineTotals:
    """Since the start, of generations that ended and of steps; zeros if the engine does not know."""

    queue_s: float = 0.0  # from arrival to a place in the batch
    prefill_s: float = 0.0  # from there to the first token
    decode_s: float = 0.0  # from there to the last
    reused_blocks: int = 0  # of the KV cache: their tokens had been read before
    missed_blocks: int = 0
    iterations: int = 0  # steps of the batch
    iteration_s: float = 0.0  # how long they took together

    def __add__(self, other: EngineTotals) -> EngineTotals:
        return EngineTotals(
            self.queue_s + other.queue_s,
            self.prefill_s + other.prefill_s,
            self.decode_s + other.decode_s,
            self.reused_blocks + other.reused_blocks,
            self.missed_blocks + other.missed_blocks,
            self.iterations + other.iterations,
            self.iteration_s + other.iteration_s,
        )


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """How busy an engine is."""

    running: int  # generations that hold a place in the batch
    queued: int  # generations that wait for one
    kv_free_ratio: float  # 0 ... 1
    broken: bool = False  # it will never generate again: only a new process helps
    totals: EngineTotals = EngineTotals()


@dataclass(frozen=True, slots=True)
class Alternative:
    """A token that might have been generated instead, or was."""

    token_id: int
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """How likely a generated token was, and the likeliest at its place, likeliest first."""

    logprob: float
    top: tuple[Alternative, ...]


class Sink(Protocol):
    """Where an engine puts one generation. Called on the engine's loop; never blocks."""

    def started(self, cached_tokens: int) -> None:
        """The first step begins; so many prompt tokens were in the prefix cache. Once."""

    def tokens(self, token_ids: Sequence[int], logprobs: Sequence[TokenLogprob] = ()) -> None:
        """The next tokens, stop token included. Only after started().

        *logprobs*: one for each of them if the request wants any, else none.
        """

    def silence(self) -> None:
        """Tests only: from now on, behave like a worker that hangs."""


class Engine(Protocol):
    """A generation engine. All methods are called on one event loop."""

    @property
    def name(self) -> str:
        """What Started.engine says."""

    async def load(self) -> None:
        """Get ready to generate. Called once, first. Raises whatever prevents it."""

    async def generate(self, request: EngineRequest, sink: Sink) -> Ending:
        """Generate into *sink* until the end, and return why it ended.

        Waits in a queue of the engine's own while the batch is full. Cancelling
        the call gives up the place and its KV blocks before the cancellation
        leaves the call; the sink is not touched afterwards.

        Raises:
            InvalidRequest: before anything was put into the sink.
            EngineFailed: at any time; what is in the sink stands.
        """

    def load_now(self) -> EngineLoad:
        """How busy the engine is. Cheap, and safe to call from any thread."""

    async def close(self) -> None:
        """Release everything. Called once, last, when no generate() is running."""
