"""Conversations keep their worker, on every gateway, and worker by worker as many."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from gateway.upstream.affinity import affinity, rank, worker_hash
from gateway.upstream.choice import LOAD_FACTOR, SLACK_TOKENS, choose
from tests.gateway.upstream.conftest import GENERATION
from wire.vocabulary import ASSISTANT, END, START, USER, load_ranks

_SYSTEM = [START, 17360, 7, 8, END]
_QUESTION = [START, USER, 9, 10, END]


def _asked(*prompt: int, salt: str = "salt", cache_key: str = "") -> int:
    return affinity(replace(GENERATION, prompt=prompt, cache_salt=salt, cache_key=cache_key))


def test_the_turns_of_a_conversation_have_one_affinity_and_nobody_elses() -> None:
    first = [*_SYSTEM, *_QUESTION, START, ASSISTANT]
    second = [
        *_SYSTEM,
        *_QUESTION,
        START,
        ASSISTANT,
        11,
        END,
        START,
        USER,
        12,
        END,
        START,
        ASSISTANT,
    ]

    assert _asked(*first) == _asked(*second)
    assert _asked(*first) != _asked(*first, salt="another project's")
    assert _asked(*first) != _asked(*_SYSTEM, START, USER, 9, 11, END, START, ASSISTANT)


def test_a_cache_key_counts_more_than_the_prompt_and_only_within_a_project() -> None:
    assert _asked(1, 2, cache_key="a") == _asked(3, 4, cache_key="a")
    assert _asked(1, 2, cache_key="a") != _asked(1, 2, cache_key="b")
    assert _asked(1, 2, cache_key="a") != _asked(1, 2, cache_key="a", salt="another")


def test_prompts_without_a_user_have_an_affinity_too() -> None:
    assert _asked(1, 2) != _asked(1, 3)
    assert _asked(START) != _asked(START, USER)


def test_the_names_of_roles_are_one_token_each() -> None:
    assert load_ranks()[b"user"] == USER
    assert load_ranks()[b"assistant"] == ASSISTANT


@dataclass
class _Worker:
    hash: int
    outstanding_tokens: int = 0


def _workers(count: int) -> list[_Worker]:
    return [_Worker(worker_hash(f"10.0.0.{number}:8001")) for number in range(count)]


def test_workers_get_about_as_many_conversations_and_only_those_of_one_that_goes_move() -> None:
    workers = _workers(8)
    keys = [_asked(number) for number in range(4_000)]
    homes = {key: max(workers, key=lambda each: rank(key, each.hash)) for key in keys}

    counts = Counter(home.hash for home in homes.values())
    assert min(counts.values()) > 400 and max(counts.values()) < 600

    gone = workers.pop()
    for key, home in homes.items():
        if home is not gone:
            assert choose(workers, key) is home


def test_no_worker_is_given_much_more_than_the_average() -> None:
    workers = _workers(4)
    for _ in range(500):  # all of one conversation, or so its client says
        choose(workers, 7).outstanding_tokens += 5_000

    average = 500 * 5_000 / 4
    bound = LOAD_FACTOR * average + SLACK_TOKENS + 5_000
    assert max(each.outstanding_tokens for each in workers) <= bound
    assert min(each.outstanding_tokens for each in workers) > 0
