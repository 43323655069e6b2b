"""Which worker gets a generation. Pure.

Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, 2016): a
generation goes to its home, the worker that holds its conversation's KV blocks, unless
that has clearly more to do than the others; then to the next in its own order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from gateway.upstream.affinity import rank

# More than the average by this, and a home is left. Less: cached prefixes are given
# away for nothing; more: queues are.
LOAD_FACTOR = 1.25
# What does not fill a batch is no load: a worker runs 256 generations at once.
SLACK_TOKENS = 32_768


class Candidate(Protocol):
    """A worker that could take the generation."""

    @property
    def hash(self) -> int: ...

    @property
    def outstanding_tokens(self) -> int: ...


C = TypeVar("C", bound=Candidate)


def choose(candidates: Sequence[C], affinity: int) -> C:
    """The one to ask. *candidates*: at least one.

    Loads are what this gateway has booked; what others have, it does not know, but
    they book by the same order.
    """
    total = sum(each.outstanding_tokens for each in candidates)
    bound = LOAD_FACTOR * total / len(candidates) + SLACK_TOKENS
    # The least loaded one is always within it.
    fitting = (each for each in candidates if each.outstanding_tokens <= bound)
    return max(fitting, key=lambda each: rank(affinity, each.hash))
