"""What the gateway and an engine say to each other about one generation. Pure.

These are the gateway's own words; `upstream/codec.py` translates them to and
from the wire (proto/wire/v1/generation.proto).
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn."""

    temperature: float = 1.0  # 0 = greedy
    top_p: float = 1.0
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0


@dataclass(frozen=True, slots=True)
class Function:
    """A function that may be called."""

    name: str
    parameters_json: str  # JSON schema of the arguments; "" = any JSON object


@dataclass(frozen=True, slots=True)
class OutputConstraint:
    """What the output must look like, in words: the grammar is the engine's affair.

    Reasoning, and with functions preambles, stay free text in any case.
    """

    functions: Sequence[Function] = ()  # no others may be called
    call_required: bool = False  # the turn ends with a call: no final message
    final_schema_json: str = ""  # JSON schema of the final message; "" = free text


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """How likely a generated token was. Natural logarithms, at most 0."""

    logprob: float
    top: Sequence[tuple[int, float]]  # the likeliest (token id, logprob), likeliest first


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation, as asked of an engine."""

    request_id: str
    prompt: Sequence[int]  # token ids, ending with <|start|>assistant
    max_output_tokens: int
    sampling: Sampling
    stop_token_ids: Sequence[int]
    cache_salt: str  # prefix caches are shared only between equal salts
    deadline_unix_ms: int
    constraint: OutputConstraint | None = None  # None = whatever the model writes
    top_logprobs: int | None = None  # alternatives to tell beside each token; None = no logprobs
    # So many of the prompt's last ids are no prompt: they were generated, by a worker that failed.
    generated_tokens: int = 0
    cache_key: str = ""  # generations that are said to begin alike; "" = look at the prompt
    # Nobody reads along: from one chunk to the next, and to the first, it may be so long.
    chunk_interval_ms: int = 0


class FinishReason(enum.Enum):
    """Why the engine stopped generating."""

    STOP = "stop"
    MAX_OUTPUT_TOKENS = "max_output_tokens"


@dataclass(slots=True)  # not frozen: that costs a microsecond a chunk
class Chunk:
    """The next output tokens. The last chunk says why generation stopped.

    A chunk without tokens is a heartbeat, or the end.
    """

    token_ids: Sequence[int] = ()
    finish_reason: FinishReason | None = None
    cached_tokens: int | None = None  # when it is known; the last one said holds
    worker: str = ""  # address of the worker that sent it
    logprobs: Sequence[TokenLogprob] = ()  # one for each of token_ids, if they were asked for
    first_token_age_s: float = 0.0  # the first one was generated so long ago, and held back


class AttemptWatch(Protocol):
    """Follows one worker's attempt at a generation."""

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """To go with the call: which trace it is part of."""

    def ended(self, failure: str) -> None:
        """Said once. *failure*: in a word; "cancelled" by us; empty if all went well."""


class GenerationWatch(Protocol):
    """Follows a generation from worker to worker. Must not raise."""

    def attempt(self, worker: str, *, generated_tokens: int) -> AttemptWatch:
        """*worker* (its address) is about to be asked, behind so many tokens of others."""


class Unwatched:
    """Follows nothing: a GenerationWatch and an AttemptWatch."""

    headers = ()

    def attempt(self, worker: str, *, generated_tokens: int) -> Unwatched:
        return self

    def ended(self, failure: str) -> None:
        pass


UNWATCHED = Unwatched()


class UpstreamFailure(enum.Enum):
    """Why no worker could finish a generation, as the tenant may be told."""

    NO_WORKER = "no_worker"  # none is reachable
    OVERLOADED = "overloaded"  # all that were asked have too much to do
    TIMEOUT = "timeout"  # first token or total deadline
    CONTEXT_TOO_LONG = "context_too_long"  # the engine's context is smaller than ours
    CONSTRAINT_REFUSED = "constraint_refused"  # the engine cannot enforce it: a schema is to blame
    ENGINE_FAILED = "engine_failed"  # the worker died, or broke the contract


class UpstreamError(Exception):
    """No worker could finish the generation. The text is for logs, never for a tenant."""

    def __init__(
        self, failure: UpstreamFailure, message: str, *, retry_after_ms: int | None = None
    ) -> None:
        super().__init__(message)
        self.failure = failure
        self.retry_after_ms = retry_after_ms
