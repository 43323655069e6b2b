"""Log probabilities that look like a model's: normalised, sorted, and made up. Pure.

At temperature 0 the generated token is the likeliest; otherwise mostly. Penalties
change nothing, as they change nothing of what is said.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from workers.engine import Alternative, TokenLogprob

_RANKS_BEYOND = 4  # a generated token may be so much less likely than the last that is told


class Logprobs:
    """Those of one generation, to be asked for in the order of its tokens."""

    def __init__(
        self, rng: random.Random, *, others: Sequence[int], top: int, greedy: bool
    ) -> None:
        """*others*: distinct tokens of text that might have been said instead."""
        self._rng = rng
        self._others = others
        self._top = top
        self._greedy = greedy

    def of(self, token_ids: Sequence[int]) -> list[TokenLogprob]:
        """One for each of the generation's next tokens."""
        return [self._of(token_id) for token_id in token_ids]

    def _of(self, token_id: int) -> TokenLogprob:
        logprobs = self._distribution(self._top + _RANKS_BEYOND)
        rank = 0
        if not self._greedy:
            rank = min(int(self._rng.expovariate(1.5)), len(logprobs) - 1)
        others = [
            each for each in self._rng.sample(self._others, self._top + 1) if each != token_id
        ]
        ranked = [*others[:rank], token_id, *others[rank:]]
        if rank >= self._top:
            ranked = others
        top = [
            Alternative(each, logprob)
            for each, logprob in zip(ranked[: self._top], logprobs, strict=False)
        ]
        return TokenLogprob(logprobs[rank], tuple(top))

    def _distribution(self, size: int) -> list[float]:
        """Likeliest first; together a little less than 1, as of a large vocabulary."""
        rest = 1.0
        shares = []
        for _ in range(size):
            shares.append(rest * self._rng.uniform(0.4, 0.95))
            rest -= shares[-1]
        return sorted((math.log(share) for share in shares), reverse=True)
