"""The blocks of a GPU's KV cache: who holds which, and what may be reused. Pure.

A block of 32 tokens is one of

    private  of one sequence: generated, or not yet computed to its end
    shared   whole, found by its key, and held by one sequence or more
    idle     as shared, but held by nobody: the first to be evicted when room is needed

A sequence is let in only if there is room for all it may ever need (GUARANTEED_NO_EVICT):
nobody is thrown out again. What it has reserved and does not use yet still serves as
room for idle blocks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from workers.engines.simulator.prefix_cache import BLOCK_TOKENS


@dataclass(eq=False, slots=True)
class Holding:
    """What one sequence holds."""

    shared: list[bytes] = field(default_factory=list)  # keys, from its beginning on
    private: int = 0  # blocks in use
    reserved: int = 0  # blocks: the private ones, and those that may still become so

    @property
    def cached_tokens(self) -> int:
        """Of those that a newcomer holds."""
        return len(self.shared) * BLOCK_TOKENS


class KvCache:
    """All blocks of one GPU."""

    def __init__(self, capacity_blocks: int) -> None:
        self.capacity_blocks = capacity_blocks
        self._holders: dict[bytes, int] = {}  # of the shared blocks
        self._idle: OrderedDict[bytes, None] = OrderedDict()  # least recently used first
        self._private = 0
        self._reserved = 0

    @property
    def used_blocks(self) -> int:
        """That running sequences hold."""
        return len(self._holders) + self._private

    @property
    def committed_blocks(self) -> int:
        """That they hold or have reserved: what a newcomer cannot have."""
        return len(self._holders) + self._reserved

    @property
    def idle_blocks(self) -> int:
        return len(self._idle)

    def admit(self, prompt_keys: Sequence[bytes], *, max_blocks: int) -> Holding | None:
        """Let a sequence in; None if there is no room.

        Args:
            prompt_keys: of the blocks that it could do without computing.
            max_blocks: that it may need at its end, these included.
        """
        known = [*takewhile(lambda key: key in self._holders or key in self._idle, prompt_keys)]
        waking = sum(key in self._idle for key in known)
        if self.committed_blocks + waking + max_blocks - len(known) > self.capacity_blocks:
            return None
        holding = Holding(reserved=max_blocks - len(known))
        self._reserved += holding.reserved
        for key in known:
            self._hold(key, holding)
        return holding

    def use(self, holding: Holding, tokens: int) -> None:
        """The sequence is about to be so many tokens long."""
        grown = -(-tokens // BLOCK_TOKENS) - len(holding.shared) - holding.private
        if grown > 0:
            holding.private += grown
            self._private += grown
            assert holding.private <= holding.reserved
            self._evict()

    def share(self, holding: Holding, keys: Sequence[bytes]) -> None:
        """The sequence's first blocks, *keys*, are computed: whoever begins alike may have them."""
        for key in keys[len(holding.shared) :]:
            # One that somebody else computed at the same time is given back.
            holding.private -= 1
            holding.reserved -= 1
            self._private -= 1
            self._reserved -= 1
            self._hold(key, holding)
        self._evict()

    def release(self, holding: Holding, keys: Sequence[bytes]) -> None:
        """The sequence leaves; its first blocks, *keys*, are computed."""
        self.share(holding, keys)
        self._private -= holding.private
        self._reserved -= holding.reserved
        holding.private = holding.reserved = 0
        # The last block first: what is evicted first must be a conversation's end.
        for key in reversed(holding.shared):
            holders = self._holders.pop(key) - 1
            if holders:
                self._holders[key] = holders
            else:
                self._idle[key] = None
        holding.shared = []

    def _hold(self, key: bytes, holding: Holding) -> None:
        self._idle.pop(key, None)
        self._holders[key] = self._holders.get(key, 0) + 1
        holding.shared.append(key)

    def _evict(self) -> None:
        for _ in range(self.used_blocks + len(self._idle) - self.capacity_blocks):
            self._idle.popitem(last=False)
