"""Holds a turn to its grammar that another worker began.

TensorRT-LLM's guided decoding begins a grammar with the first token that it generates
itself: in the middle of a turn that would be the beginning of another. A logits
processor is asked before every token instead, and is told all ids so far.

An instance is pickled into the process of each rank; there it makes its matcher when it
is asked for the first time. It must not raise: that would be the end of the executor's
loop, and of everybody's stream.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from llguidance import LLMatcher

from wire import vocabulary
from workers.compiled_grammars import grammar_matcher, matcher_complaint
from workers.engines.trtllm.sampling import OUT_OF_TURN
from workers.settings import GrammarSettings

_log = logging.getLogger(__name__)


class ResumedGrammar:
    """A LogitsProcessor of TensorRT-LLM, by its signature."""

    def __init__(self, grammar: str, *, turn_begins_at: int, settings: GrammarSettings) -> None:
        """*turn_begins_at*: so many ids of the prompt are not the turn's."""
        self._grammar = grammar
        self._turn_begins_at = turn_begins_at
        self._settings = settings
        self._matcher: LLMatcher | None = None
        self._consumed = turn_begins_at  # so many of all ids have passed the matcher
        self._given_up = False

    def __getstate__(self) -> tuple[str, int, GrammarSettings]:
        return self._grammar, self._turn_begins_at, self._settings

    def __setstate__(self, state: tuple[str, int, GrammarSettings]) -> None:
        grammar, turn_begins_at, settings = state
        self.__init__(grammar, turn_begins_at=turn_begins_at, settings=settings)  # type: ignore[misc]

    # The library counts the parameters: five, as its own class has.
    def __call__(
        self,
        req_id: int,
        logits: Any,  # torch.Tensor: beams x 1 x vocabulary, padded
        token_ids: list[list[int]],  # beams x all ids so far, the prompt's included
        stream_ptr: int | None,
        client_id: int | None,
    ) -> None:
        """Forbid, in *logits*, all that the grammar does."""
        try:
            allowed = self._allowed(token_ids[0])
        except BaseException as exc:  # noqa: BLE001 - a panic in Rust is no Exception
            self._give_up(f"{type(exc).__name__}: {exc}")
            allowed = _only(OUT_OF_TURN)
        bias = np.full(logits.shape[-1], -np.inf, dtype=np.float32)
        bias[: vocabulary.SIZE][allowed] = 0
        logits.add_(logits.new_tensor(bias))

    def _allowed(self, ids: list[int]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """True for each id that may come next."""
        if self._given_up:
            return _only(OUT_OF_TURN)
        if self._matcher is None:
            self._matcher = grammar_matcher(self._grammar, self._settings)
        # Nothing new is no mistake: of a prompt that is read in chunks, each asks. But
        # if ids came a step late, the masks would be for older states, and cannot know
        # it. So the engine looks at what comes out (TurnCheck).
        new = ids[self._consumed :]
        if self._matcher.try_consume_tokens(new) != len(new) or self._matcher.is_error():
            self._give_up(matcher_complaint(self._matcher.get_error()) or "a token is not allowed")
            return _only(OUT_OF_TURN)
        self._consumed = len(ids)
        if self._matcher.is_stopped():
            return _only(vocabulary.RETURN)
        mask = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        return np.unpackbits(mask, bitorder="little")[: vocabulary.SIZE].astype(np.bool_)

    def _give_up(self, reason: str) -> None:
        if not self._given_up:
            _log.error("a turn cannot be gone on with: %s", reason)
        self._given_up = True


class TurnCheck:
    """Looks, in the worker, whether what a resumed turn goes on with fits its grammar."""

    def __init__(self, matcher: LLMatcher) -> None:
        """*matcher* has consumed what was generated before."""
        self._matcher = matcher

    def complaint(self, token_ids: Sequence[int]) -> str | None:
        """What is wrong with the next tokens, if anything is."""
        for token_id in token_ids:
            if token_id == vocabulary.RETURN:
                fits = self._matcher.is_accepting()
            else:
                fits = self._matcher.try_consume_tokens([token_id]) == 1
            if not fits:
                return f"the constraint does not allow token {token_id} here"
        return None


def _only(token_id: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    allowed = np.zeros(vocabulary.SIZE, dtype=np.bool_)
    allowed[token_id] = True
    return allowed
