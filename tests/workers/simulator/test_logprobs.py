"""Made-up log probabilities that keep to the rules of real ones."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.workers.prompts import engine_request, user
from workers.engine import GREEDY, Sampling, TokenLogprob
from workers.engines.simulator.plan import Planner
from workers.engines.simulator.tokenizer import Tokenizer

_DRAWN = replace(GREEDY, temperature=1.0, seed=7)


def _logprobs(
    planner: Planner, tokenizer: Tokenizer, top: int, sampling: Sampling = _DRAWN
) -> list[tuple[int, TokenLogprob]]:
    request = engine_request(tokenizer, user("Hi"), sampling=sampling, top_logprobs=top)
    plan = planner.plan(request)
    assert plan.logprobs is not None
    return list(zip(plan.token_ids, plan.logprobs.of(plan.token_ids), strict=True))


@given(top=st.integers(0, 20), seed=st.integers())
def test_they_are_normalised_and_sorted_with_as_many_alternatives_as_asked_for(
    planner: Planner, tokenizer: Tokenizer, top: int, seed: int
) -> None:
    for token_id, logprob in _logprobs(planner, tokenizer, top, replace(_DRAWN, seed=seed)):
        told = [each.logprob for each in logprob.top]
        ids = [each.token_id for each in logprob.top]
        assert len(logprob.top) == len(set(ids)) == top
        assert told == sorted(told, reverse=True)
        assert sum(math.exp(each) for each in told) <= 1
        assert logprob.logprob <= 0
        if token_id in ids:
            assert told[ids.index(token_id)] == logprob.logprob
        elif told:
            assert logprob.logprob <= told[-1]
        assert all(tokenizer.decode([each]) for each in ids)


def test_greedy_generates_the_likeliest(planner: Planner, tokenizer: Tokenizer) -> None:
    for token_id, logprob in _logprobs(planner, tokenizer, 3, GREEDY):
        assert logprob.top[0].token_id == token_id
        assert logprob.top[0].logprob == logprob.logprob


def test_a_seed_decides_and_the_cut_does_not(planner: Planner, tokenizer: Tokenizer) -> None:
    request = engine_request(tokenizer, user("Hi"), sampling=_DRAWN, top_logprobs=2)
    plan = planner.plan(request)
    assert plan.logprobs is not None
    pieces = [plan.logprobs.of([token_id])[0] for token_id in plan.token_ids]

    assert pieces == [logprob for _, logprob in _logprobs(planner, tokenizer, 2)]
    assert pieces != [
        logprob for _, logprob in _logprobs(planner, tokenizer, 2, replace(_DRAWN, seed=8))
    ]


def test_who_does_not_ask_gets_none(planner: Planner, tokenizer: Tokenizer) -> None:
    assert planner.plan(engine_request(tokenizer, user("Hi"))).logprobs is None
