"""The batch and its KV cache: who is let in, what is found again, what is given back."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from workers.engines.simulator.batch import Batch, Member
from workers.engines.simulator.cost_model import PRESETS

_COST = PRESETS["h200-tp1"]


def _member(prompt: list[int], output: int = 40, *, salt: str = "a") -> Member:
    return Member(prompt, list(range(1_000, 1_000 + output)), salt=salt, max_tokens=output)


def _play(batch: Batch, *members: Member) -> list[list[Member]]:
    """Serve *members* to their end; who advanced in each step."""
    for member in members:
        batch.enqueue(member)
    steps = []
    while (step := batch.begin(0.0)) is not None:
        assert step.seconds > 0
        advanced = batch.finish(step)
        steps.append(advanced)
        for member in advanced:
            if member.over:
                batch.leave(member)
    return steps


def _batch(*, kv_blocks: int = 1_000, max_running: int = 8) -> Batch:
    return Batch(_COST, max_running=max_running, kv_blocks=kv_blocks)


def test_the_next_turn_finds_prompt_and_answer_and_another_salt_finds_nothing() -> None:
    batch = _batch()
    first = _member(list(range(100)))
    _play(batch, first)

    turn = [*range(100), *range(1_000, 1_040), *range(2_000, 2_050)]
    second, stranger = _member(turn), _member(turn, salt="b")
    for member in (second, stranger):
        batch.enqueue(member)
    batch.begin(0.0)

    assert second.holding is not None and stranger.holding is not None
    assert second.holding.cached_tokens == 128  # of 140: blocks are whole
    assert stranger.holding.cached_tokens == 0


def test_a_prompt_that_is_cached_takes_less_time() -> None:
    batch = _batch()
    prompt = list(range(8_000))
    first = _member(prompt)
    batch.enqueue(first)
    cold = batch.begin(0.0)
    assert cold is not None
    batch.finish(cold)
    batch.leave(first)

    batch.enqueue(_member(prompt))
    warm = batch.begin(0.0)

    assert warm is not None
    assert warm.seconds < cold.seconds / 3


def test_a_long_prompt_is_read_in_chunks_while_others_go_on() -> None:
    batch = _batch(kv_blocks=5_000)
    short, long = _member([1, 2, 3]), _member(list(range(3 * _COST.max_num_tokens)))

    steps = _play(batch, short, long)

    before_the_long_one = next(at for at, advanced in enumerate(steps) if long in advanced)
    assert before_the_long_one == 3
    assert all(short in advanced for advanced in steps[:before_the_long_one])


def test_nobody_is_let_in_who_might_not_find_room_at_his_end() -> None:
    batch = _batch(kv_blocks=10)
    first, second = _member(list(range(64)), 128), _member(list(range(500, 564)), 150)
    batch.enqueue(first)
    batch.enqueue(second)

    batch.begin(0.0)
    assert (batch.running, batch.waiting) == (1, 1)  # 6 blocks, and 7

    batch.leave(first)
    batch.begin(0.0)
    assert (batch.running, batch.waiting) == (1, 0)


@given(st.integers(0, 2**32))
def test_whatever_comes_and_goes_no_block_is_lost_or_held_twice(seed: int) -> None:
    rng = random.Random(seed)
    batch = _batch(kv_blocks=40, max_running=4)
    alive: list[Member] = []
    for _ in range(60):
        if rng.random() < 0.4:
            prompt = list(range(rng.choice([0, 0, 500]), 600))[: rng.randrange(1, 400)]
            member = _member(prompt, rng.randrange(1, 200), salt=rng.choice("ab"))
            batch.enqueue(member)
            alive.append(member)
        if alive and rng.random() < 0.1:
            batch.leave(alive.pop(rng.randrange(len(alive))))
        if (step := batch.begin(0.0)) is not None:
            for member in batch.finish(step):
                if member.over:
                    batch.leave(member)
                    alive.remove(member)
        kv = batch.kv
        assert kv.used_blocks + kv.idle_blocks <= kv.capacity_blocks
        assert kv.used_blocks <= kv.committed_blocks <= kv.capacity_blocks
    for member in alive:
        batch.leave(member)

    assert (batch.running, batch.waiting) == (0, 0)
    assert batch.kv.committed_blocks == 0
