"""What TensorRT-LLM reports of a generation -> what is new, and how it ended. Pure.

A report is the same object each time, with more in it. What was delivered is counted
here: the library's own `token_ids_diff` is wrong when a stop id was cut off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wire import vocabulary
from workers.engine import (
    Alternative,
    Ending,
    EngineFailed,
    EngineRequest,
    LengthReached,
    Stopped,
    TokenLogprob,
)
from workers.engines.trtllm.llm_api import Completion, Logprob, RequestOutput


@dataclass(frozen=True, slots=True)
class Progress:
    """What a report adds."""

    token_ids: Sequence[int]
    logprobs: Sequence[TokenLogprob]  # one for each of them, or none at all
    ending: Ending | None  # None: there is more to come


class Reader:
    """Reads the reports of one generation, in their order."""

    def __init__(self, request: EngineRequest) -> None:
        self._request = request
        self._delivered = 0
        self._last: int | None = None  # of those delivered

    def read(self, output: RequestOutput) -> Progress:
        """Raises EngineFailed: it ended as no generation should, or makes no sense."""
        completion = output.outputs[0]
        new = list(completion.token_ids[self._delivered :])
        logprobs = self._logprobs(completion, new)
        ending = None
        # The reason alone is not enough: it may be said before the last report.
        if output.finished:
            ending = self._ending(completion)
            if isinstance(ending, Stopped):
                self._complete(ending.token_id, new, logprobs)
        self._delivered += len(new)
        if self._delivered > self._request.max_tokens:
            raise EngineFailed(f"TensorRT-LLM generated more than {self._request.max_tokens}")
        if new:
            self._last = new[-1]
        return Progress(new, logprobs, ending)

    def _complete(self, stop: int, new: list[int], logprobs: list[TokenLogprob]) -> None:
        """Add the token that ended it, if it is missing: it is part of the turn, and billed.

        We ask for it to be kept, but for the end id there is nothing to ask with.
        """
        if (new[-1] if new else self._last) != stop:
            new.append(stop)
            if self._request.top_logprobs is not None:
                # It was chosen, nobody says how gladly.
                logprobs.append(TokenLogprob(0.0, ()))

    def _ending(self, completion: Completion) -> Ending:
        match completion.finish_reason:
            case "length":
                return LengthReached()
            case "stop":
                reason = completion.stop_reason
                stop = vocabulary.RETURN if reason is None else reason
                if isinstance(stop, int) and stop in self._request.stop_token_ids:
                    return Stopped(stop)
                raise EngineFailed(f"TensorRT-LLM stopped at {stop!r}, which is no end of a turn")
            case other:
                raise EngineFailed(f"TensorRT-LLM ended the generation: {other}")

    def _logprobs(self, completion: Completion, new: Sequence[int]) -> list[TokenLogprob]:
        top = self._request.top_logprobs
        if top is None or not new:
            return []
        told = (completion.logprobs or ())[self._delivered : self._delivered + len(new)]
        if len(told) != len(new):
            raise EngineFailed(f"{len(told)} log probabilities for {len(new)} tokens")
        return [_logprob(each, token, top) for token, each in zip(new, told, strict=True)]


def _logprob(told: Mapping[int, Logprob], token_id: int, top: int) -> TokenLogprob:
    own = told.get(token_id)
    if own is None:
        raise EngineFailed(f"no log probability for the generated token {token_id}")
    # More than were asked for: the generated token is told besides. And what a grammar
    # forbids has minus infinity, which is no JSON.
    alternatives = sorted(
        (
            Alternative(each, logprob.logprob)
            for each, logprob in told.items()
            if math.isfinite(logprob.logprob)
        ),
        key=lambda each: -each.logprob,
    )
    return TokenLogprob(own.logprob, tuple(alternatives[:top]))
