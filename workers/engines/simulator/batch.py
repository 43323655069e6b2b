"""Continuous batching, iteration by iteration: who is in the batch, and what a step does. Pure.

A step takes a token further everybody who decodes, and fills what is left of
max_num_tokens with the prompts of those who came first, in chunks. Whoever drives it
waits for the seconds that begin() tells, and calls finish(): the engine on its loop,
`bench.capacity` in no time at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from workers.engines.simulator.cost_model import CostModel
from workers.engines.simulator.kv_cache import Holding, KvCache
from workers.engines.simulator.prefix_cache import BLOCK_TOKENS, block_keys


class Member:
    """One generation, waiting or running. Times are seconds of the driver's clock."""

    __slots__ = (
        "_keys",
        "computed",
        "due_at",
        "generated",
        "hold_s",
        "holding",
        "max_blocks",
        "not_before",
        "output_tokens",
        "prompt_tokens",
    )

    def __init__(
        self,
        prompt: Sequence[int],
        output: Sequence[int],
        *,
        salt: str,
        max_tokens: int,
        not_before: float = -math.inf,
        hold_s: float = 0,
    ) -> None:
        """Hash the blocks. *max_tokens*: that the output might have had, for all one knew."""
        self.prompt_tokens = len(prompt)
        self.max_blocks = math.ceil((len(prompt) + max_tokens) / BLOCK_TOKENS)
        self.output_tokens = len(output)
        self.not_before = not_before  # does not leave the queue earlier
        self.hold_s = hold_s  # sits idle in the batch before its prefill begins
        self.due_at = -math.inf  # is left out of steps that begin earlier
        self.computed = 0  # of the prompt; cached ones included
        self.generated = 0
        self.holding: Holding | None = None
        # Nobody needs the last token's keys and values: they are never computed.
        self._keys = block_keys(
            [*prompt, *output], salt, blocks=max(0, len(prompt) + len(output) - 1) // BLOCK_TOKENS
        )

    @property
    def missing(self) -> int:
        """Prompt tokens that are not computed."""
        return self.prompt_tokens - self.computed

    @property
    def over(self) -> bool:
        return self.missing == 0 and self.generated == self.output_tokens

    def reusable_keys(self) -> Sequence[bytes]:
        # The prompt's last token is always computed: its output is the first new token.
        return self._keys[: (self.prompt_tokens - 1) // BLOCK_TOKENS]

    def computed_keys(self) -> Sequence[bytes]:
        return self._keys[: (self.computed + max(0, self.generated - 1)) // BLOCK_TOKENS]


@dataclass(frozen=True, slots=True)
class Step:
    """One iteration."""

    seconds: float
    admitted: Sequence[Member]
    chunks: Sequence[tuple[Member, int]]  # of prompts, in tokens
    decoding: Sequence[Member]


class Batch:
    """The queue, the batch and the KV cache of one engine."""

    def __init__(self, cost: CostModel, *, max_running: int, kv_blocks: int) -> None:
        self.kv = KvCache(kv_blocks)
        self._cost = cost
        self._max_running = max_running
        # dicts as ordered sets: who leaves may be anywhere.
        self._waiting: dict[Member, None] = {}
        self._running: dict[Member, None] = {}

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def enqueue(self, member: Member) -> None:
        assert member.max_blocks <= self.kv.capacity_blocks, "nobody would ever be served again"
        self._waiting[member] = None

    def leave(self, member: Member) -> None:
        """Give up the place and the blocks, at once. Does nothing the second time."""
        self._waiting.pop(member, None)
        if member.holding is not None:
            del self._running[member]
            self.kv.release(member.holding, member.computed_keys())
            member.holding = None

    def begin(self, now: float) -> Step | None:
        """The next step, from the members that are due; None if none are."""
        decoding: list[Member] = []
        prefilling: list[Member] = []
        kv_tokens = 0
        for member in self._running:
            if member.due_at > now:
                continue
            if member.computed < member.prompt_tokens:
                prefilling.append(member)
            else:
                decoding.append(member)
                kv_tokens += member.prompt_tokens + member.generated
        chunks: list[tuple[Member, int]] = []
        budget = self._cost.max_num_tokens - len(decoding)
        for member in prefilling:
            budget -= self._prefill(member, budget, chunks)
        admitted: list[Member] = []
        # Who could not begin in this step may still find its prefix cached in the next.
        while budget > 0 and (newcomer := self._admit(now)) is not None:
            admitted.append(newcomer)
            if newcomer.due_at <= now:
                budget -= self._prefill(newcomer, budget, chunks)
        if not chunks and not decoding and not admitted:
            return None
        seconds = self._cost.iteration_s(
            prefill_tokens=sum(tokens for _, tokens in chunks),
            decode_tokens=len(decoding),
            kv_tokens=kv_tokens + sum(member.computed + tokens for member, tokens in chunks),
        )
        return Step(seconds, admitted, chunks, decoding)

    def finish(self, step: Step) -> list[Member]:
        """What *step* was for has happened; return who has a token more, or is over.

        Those who left in between are not among them. Who is over stays, until it leaves.
        """
        advanced = []
        for member, tokens in step.chunks:
            holding = member.holding
            if holding is None:
                continue
            member.computed += tokens
            if member.computed == member.prompt_tokens:
                self.kv.share(holding, member.computed_keys())
                self._generate(member, holding)
                advanced.append(member)
        for member in step.decoding:
            if member.holding is not None:
                self._generate(member, member.holding)
                advanced.append(member)
        return advanced

    def next_due_at(self, now: float) -> float:
        """When begin() is worth asking again, if it had nothing and nobody comes or leaves."""
        times = [member.due_at for member in self._running]
        times += [member.not_before for member in self._waiting]
        return min((time for time in times if time > now), default=math.inf)

    def _generate(self, member: Member, holding: Holding) -> None:
        if member.generated == member.output_tokens:
            return
        member.generated += 1
        # The token's own keys and values are computed in the next step.
        if (member.prompt_tokens + member.generated) % BLOCK_TOKENS == 1:
            self.kv.use(holding, member.prompt_tokens + member.generated)

    def _prefill(self, member: Member, budget: int, chunks: list[tuple[Member, int]]) -> int:
        """Take as much of *member*'s prompt into the step as *budget* allows."""
        tokens = min(budget, member.missing)
        if tokens <= 0 or member.holding is None:
            return 0
        self.kv.use(member.holding, member.computed + tokens)
        chunks.append((member, tokens))
        return tokens

    def _admit(self, now: float) -> Member | None:
        """The first of the queue, if there is a place and room for it. Nobody overtakes it."""
        if len(self._running) >= self._max_running:
            return None
        member = next((each for each in self._waiting if each.not_before <= now), None)
        if member is None:
            return None
        member.holding = self.kv.admit(member.reusable_keys(), max_blocks=member.max_blocks)
        if member.holding is None:
            return None
        del self._waiting[member]
        self._running[member] = None
        member.computed = member.holding.cached_tokens
        if member.hold_s:
            member.due_at = now + member.hold_s
        return member
