"""The simulator's batch, driven through virtual time: what it would have taken, at once."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from workers.engines.simulator.batch import Batch, Member
from workers.engines.simulator.cost_model import CostModel
from workers.engines.simulator.prefix_cache import BLOCK_TOKENS


@dataclass
class Measured:
    """Of all requests but those with which the batch fills up and empties."""

    seconds: float = 0.0
    output_tokens: int = 0
    running: list[int] = field(default_factory=list)  # each step
    kv_used_ratio: float = 0.0  # at most
    first_token_s: list[float] = field(default_factory=list)
    between_tokens_s: list[float] = field(default_factory=list)

    @property
    def tokens_per_second(self) -> float:
        return self.output_tokens / self.seconds


def closed_loop(
    cost: CostModel,
    *,
    input_tokens: int,
    output_tokens: int,
    concurrency: int,
    requests: int,
    max_running: int,
) -> Measured:
    """*concurrency* clients, each of which asks again as soon as it is answered.

    Lengths are drawn from 0.8 to 1.2 of what is said, so that the clients fall out of step.
    """
    rng = random.Random(1)
    batch = Batch(cost, max_running=max_running, kv_blocks=cost.kv_tokens // BLOCK_TOKENS)
    measured = Measured()
    asked_at: dict[Member, float] = {}
    token_at: dict[Member, float] = {}
    now = begun_at = 0.0
    left, ended = requests, 0
    warm, cold = concurrency, requests - concurrency

    def ask() -> None:
        nonlocal left
        left -= 1
        prompt = [rng.randrange(100_000) for _ in range(_around(rng, input_tokens))]
        output = [0] * _around(rng, output_tokens)
        member = Member(prompt, output, salt="", max_tokens=len(output))
        asked_at[member] = now
        batch.enqueue(member)

    for _ in range(min(concurrency, requests)):
        ask()
    while (step := batch.begin(now)) is not None:
        now += step.seconds
        counts = warm <= ended < max(cold, warm + 1)
        for member in batch.finish(step):
            if counts:
                measured.output_tokens += 1
                if member.generated == 1:
                    measured.first_token_s.append(now - asked_at[member])
                else:
                    measured.between_tokens_s.append(now - token_at[member])
            token_at[member] = now
            if member.over:
                batch.leave(member)
                ended += 1
                if ended == warm:
                    begun_at = now
                if left:
                    ask()
        if counts:
            measured.seconds = now - begun_at
            measured.running.append(batch.running)
            used = batch.kv.committed_blocks / batch.kv.capacity_blocks
            measured.kv_used_ratio = max(measured.kv_used_ratio, used)
    return measured


def _around(rng: random.Random, tokens: int) -> int:
    return max(1, round(tokens * rng.uniform(0.8, 1.2)))
