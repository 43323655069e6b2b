"""Whose figures are told by name; and that no counter ever goes back."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.usage_exporter.tally import HALF_LIFE_S, OTHER, Tally, Used


def used(tokens: int) -> Used:
    return Used(Counter(completed=1), Counter(input=tokens), Counter())


def told(tally: Tally) -> dict[str, int]:
    return {project_id: each.tokens["input"] for project_id, each in tally.used.items()}


def test_who_uses_most_has_a_name_and_the_rest_is_told_together() -> None:
    tally = Tally(named=2)
    tally.round({"a": used(10), "b": used(300), "c": used(200)}, seconds=15)
    assert told(tally) == {"b": 0, "c": 0, OTHER: 10}, "new series, of which no increase is seen"
    tally.round({"b": used(1)}, seconds=15)
    assert told(tally) == {"b": 301, "c": 200, OTHER: 10}
    assert (sorted(tally.names), tally.folded) == (["b", "c"], 1)


def test_a_little_more_does_not_take_a_name_away_and_much_more_does() -> None:
    tally = Tally(named=1)
    tally.round({"a": used(100)}, seconds=15)
    tally.round({"b": used(110)}, seconds=0)
    assert told(tally) == {"a": 100, OTHER: 110}
    tally.round({"b": used(40)}, seconds=0)
    tally.round({}, seconds=0)
    assert told(tally) == {"b": 40, OTHER: 110}


def test_who_has_long_used_nothing_keeps_its_name_until_another_wants_it() -> None:
    tally = Tally(named=1)
    tally.round({"a": used(10**6)}, seconds=15)
    tally.round({}, seconds=30 * HALF_LIFE_S)
    assert told(tally) == {"a": 10**6, OTHER: 0}
    tally.round({"b": used(1)}, seconds=15)
    tally.round({}, seconds=15)
    assert told(tally) == {"b": 1, OTHER: 0}


def test_who_had_used_most_has_a_name_from_the_beginning() -> None:
    tally = Tally(named=2)
    tally.begin({"a": 10, "b": 300, "c": 200})
    assert told(tally) == {"b": 0, "c": 0, OTHER: 0}
    tally.round({"b": used(5)}, seconds=15)
    assert told(tally) == {"b": 5, "c": 0, OTHER: 0}


_ROUNDS = st.lists(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 10**6), max_size=6), max_size=12
)


@given(_ROUNDS, st.integers(1, 4))
def test_no_counter_goes_back_and_nothing_is_lost(rounds: list[dict[str, int]], named: int) -> None:
    tally = Tally(named=named)
    before: dict[str, int] = {}
    gone = 0
    for news in [*rounds, {}]:
        tally.round({project_id: used(tokens) for project_id, tokens in news.items()}, seconds=900)
        now = told(tally)
        assert len(tally.names) <= named
        for project_id in before.keys() & now.keys():
            # One that lost its name and got it again begins anew: Prometheus knows such resets.
            assert now[project_id] >= before[project_id]
        gone += sum(before[each] for each in before.keys() - now.keys())
        before = now
    assert sum(before.values()) + gone == sum(sum(news.values()) for news in rounds)
