"""An engine to test on, and what the checks have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from wire import vocabulary
from workers.engine import (
    GREEDY,
    Ending,
    EngineRequest,
    OutputConstraint,
    Sampling,
    TokenLogprob,
)
from workers.engines.simulator.tokenizer import Tokenizer
from workers.engines.trtllm.configuration import Configuration
from workers.engines.trtllm.engine import TensorRtLlm
from workers.engines.trtllm.llm_api import Completion, Library, Llm
from workers.engines.trtllm.sampling import sampling_arguments
from workers.settings import GrammarSettings

_SYSTEM = (
    "<|start|>system<|message|>You are ChatGPT.\n\nReasoning: low\n\n"
    "# Valid channels: analysis, commentary, final.<|end|>"
)
_FILLER = " The rain fell on the roof of the old house, and nobody was at home to hear it."


@dataclass(frozen=True, slots=True)
class Passed:
    found: str = ""  # worth knowing


@dataclass(frozen=True, slots=True)
class Failed:
    found: str


@dataclass(frozen=True, slots=True)
class Skipped:
    why: str


Outcome = Passed | Failed | Skipped


@dataclass(frozen=True, slots=True)
class Check:
    """One belief."""

    name: str
    believed: str
    if_not: str  # what to do about it
    run: Callable[[Bench], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True)
class Run:
    """One generation, as the LLM API told it."""

    completion: Completion  # as it was at the end
    token_ids: list[int]
    cached_tokens: int
    totals: list[int]  # of token_ids, at each report
    same_object: bool  # whether the reports were all the same one


@dataclass
class Collected:
    """A Sink."""

    token_ids: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)

    def started(self, cached_tokens: int) -> None:
        pass

    def tokens(self, token_ids: Sequence[int], logprobs: Sequence[TokenLogprob] = ()) -> None:
        self.token_ids += token_ids
        self.logprobs += logprobs

    def silence(self) -> None:
        pass


class Bench:
    """A loaded engine, and the LLM inside it."""

    def __init__(
        self, configuration: Configuration, load_library: Callable[[], Library], *, abort_s: float
    ) -> None:
        """*abort_s*: how long an abort may take."""
        self.configuration = configuration
        self.abort_s = abort_s
        self.tokenizer = Tokenizer()
        self.library: Library | None = None
        self.loaded: Llm | None = None
        self._load_library = load_library
        # No warm-up: each of its steps is a check of its own.
        self.engine = TensorRtLlm(
            dataclasses.replace(configuration, warm_up=False),
            grammar=GrammarSettings(),
            load_library=self._capture,
        )

    def _capture(self) -> Library:
        library = self._load_library()
        self.library = library

        def make(**arguments: Any) -> Llm:
            self.loaded = library.LLM(**arguments)
            return self.loaded

        return dataclasses.replace(library, LLM=make)

    @property
    def llm(self) -> Llm:
        assert self.loaded is not None
        return self.loaded

    def prompt(self, text: str = "Count from one to fifty in words.") -> list[int]:
        return self.tokenizer.encode_harmony(
            f"{_SYSTEM}<|start|>user<|message|>{text}<|end|><|start|>assistant"
        )

    def long_prompt(self, tokens: int) -> list[int]:
        """Of about so many."""
        filler = tokens // len(self.tokenizer.encode(_FILLER)) + 1
        return self.prompt("What was this?" + _FILLER * filler)

    def request(
        self,
        prompt: list[int] | None = None,
        *,
        max_tokens: int = 32,
        sampling: Sampling = GREEDY,
        constraint: OutputConstraint | None = None,
        top_logprobs: int | None = None,
        generated_tokens: int = 0,
    ) -> EngineRequest:
        return EngineRequest(
            request_id="gpu-check",
            prompt=prompt or self.prompt(),
            max_tokens=max_tokens,
            sampling=sampling,
            stop_token_ids=frozenset({vocabulary.RETURN, vocabulary.CALL}),
            cache_salt="",
            constraint=constraint,
            top_logprobs=top_logprobs,
            generated_tokens=generated_tokens,
        )

    def submit(self, request: EngineRequest, *, salt: str = "", **changes: Any) -> Any:
        """To the LLM itself, past the engine."""
        assert self.library is not None
        params = self.library.SamplingParams(**(sampling_arguments(request) | changes))
        optional = {"cache_salt": salt} if salt else {}
        return self.llm.generate_async(
            {"prompt_token_ids": list(request.prompt)}, params, streaming=True, **optional
        )

    async def run(self, request: EngineRequest, *, salt: str = "", **changes: Any) -> Run:
        """Past the engine. *changes* are of its SamplingParams."""
        output = self.submit(request, salt=salt, **changes)
        totals = []
        same = True
        async for report in output:
            totals.append(len(report.outputs[0].token_ids))
            same = same and report is output
        completion = output.outputs[0]
        return Run(completion, list(completion.token_ids), output.cached_tokens, totals, same)

    async def generate(self, request: EngineRequest) -> tuple[Collected, Ending]:
        """Through the engine."""
        sink = Collected()
        return sink, await self.engine.generate(request, sink)
