"""What has been generated of one turn, over all attempts at it. Pure.

Attempts begin where the turn is: prompt and what was delivered, and of the tokens
asked for those that are left. Sampling, stop tokens, salt and deadline stay.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace

from gateway.generation import FinishReason, Generation


class Turn:
    """The output of one generation so far."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._token_ids = array("i")  # 4 bytes each: there may be 100,000 of them

    def __len__(self) -> int:
        """Tokens delivered."""
        return len(self._token_ids)

    def add(self, token_ids: Sequence[int]) -> None:
        self._token_ids.extend(token_ids)

    def rest(self) -> Generation:
        """What is left to generate: all of it, or what follows the tokens delivered."""
        if not self._token_ids:
            return self._generation
        return replace(
            self._generation,
            prompt=array("i", self._generation.prompt) + self._token_ids,
            generated_tokens=len(self._token_ids),
            max_output_tokens=self._generation.max_output_tokens - len(self._token_ids),
        )

    def ending(self) -> FinishReason | None:
        """Why nothing is left, if a worker delivered all and failed to say so."""
        if self._token_ids and self._token_ids[-1] in self._generation.stop_token_ids:
            return FinishReason.STOP
        if len(self._token_ids) >= self._generation.max_output_tokens:
            return FinishReason.MAX_OUTPUT_TOKENS
        return None
