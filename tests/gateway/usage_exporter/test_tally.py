"""Whose figures are told by name; and that no counter ever goes back."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.usage_exporter.tally import HALF_LIFE_S, OTHER, Tally, Used

HELD_S = 60.0


def tally_of(named: int) -> Tally:
    return Tally(named=named, held_s=HELD_S)


def used(tokens: int) -> Used:
    return Used(Counter(completed=1), Counter(input=tokens), Counter())


def told(tally: Tally) -> dict[str, int]:
    return {project_id: each.tokens["input"] for project_id, each in tally.used.items()}


def told_for_long(tally: Tally) -> None:
    """Whoever scrapes has seen what is told."""
    tally.release(tally.used, seconds=HELD_S)


def test_who_uses_most_has_a_name_and_the_rest_is_told_together() -> None:
    tally = tally_of(2)
    tally.round({"a": used(10), "b": used(300), "c": used(200)}, seconds=15)
    told_for_long(tally)
    assert told(tally) == {"b": 300, "c": 200, OTHER: 10}
    assert (sorted(tally.names), tally.folded) == (["b", "c"], 1)


def test_a_new_series_is_told_as_0_until_that_has_been_seen() -> None:
    """Prometheus sees no increase in the first sample of a series."""
    tally = tally_of(1)
    tally.round({"a": used(100)}, seconds=15)
    tally.release({OTHER}, seconds=HELD_S)  # it was not among them yet
    for _ in range(3):
        tally.round({"a": used(1)}, seconds=15)
        tally.release(tally.used, seconds=HELD_S / 4)
        assert told(tally) == {"a": 0, OTHER: 0}
    tally.release(tally.used, seconds=HELD_S / 4)
    assert told(tally) == {"a": 103, OTHER: 0}
    tally.round({"a": used(1)}, seconds=15)
    assert told(tally) == {"a": 104, OTHER: 0}


def test_who_loses_its_name_before_it_was_told_is_counted_with_the_rest() -> None:
    tally = tally_of(1)
    tally.round({"a": used(100)}, seconds=15)
    tally.round({"b": used(1000)}, seconds=15)
    told_for_long(tally)
    assert told(tally) == {"b": 1000, OTHER: 100}


def test_a_little_more_does_not_take_a_name_away_and_much_more_does() -> None:
    tally = tally_of(1)
    tally.round({"a": used(100)}, seconds=15)
    told_for_long(tally)
    tally.round({"b": used(110)}, seconds=0)
    assert told(tally) == {"a": 100, OTHER: 110}
    tally.round({"b": used(40)}, seconds=0)
    told_for_long(tally)
    assert told(tally) == {"b": 40, OTHER: 110}


def test_who_has_long_used_nothing_keeps_its_name_until_another_wants_it() -> None:
    tally = tally_of(1)
    tally.round({"a": used(10**6)}, seconds=15)
    told_for_long(tally)
    tally.round({}, seconds=30 * HALF_LIFE_S)
    assert told(tally) == {"a": 10**6, OTHER: 0}
    tally.round({"b": used(1)}, seconds=15)
    told_for_long(tally)
    assert told(tally) == {"b": 1, OTHER: 0}


def test_who_had_used_most_has_a_name_from_the_beginning() -> None:
    tally = tally_of(2)
    tally.begin({"a": 10, "b": 300, "c": 200})
    assert told(tally) == {"b": 0, "c": 0, OTHER: 0}
    tally.round({"b": used(5)}, seconds=15)
    told_for_long(tally)
    assert told(tally) == {"b": 5, "c": 0, OTHER: 0}


_ROUNDS = st.lists(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 10**6), max_size=6), max_size=12
)


@given(_ROUNDS, st.integers(1, 4), st.booleans())
def test_no_counter_goes_back_and_nothing_is_lost(
    rounds: list[dict[str, int]], named: int, seen: bool
) -> None:
    tally = tally_of(named)
    before: dict[str, int] = {}
    gone = 0
    for news in rounds:
        tally.round({project_id: used(tokens) for project_id, tokens in news.items()}, seconds=900)
        tally.release(before, seconds=900 if seen else 15)
        now = told(tally)
        assert len(tally.names) <= named
        for project_id in before.keys() & now.keys():
            # One that lost its name and got it again begins anew: Prometheus knows such resets.
            assert now[project_id] >= before[project_id]
        gone += sum(before[each] for each in before.keys() - now.keys())
        before = now
    told_for_long(tally)
    assert sum(told(tally).values()) + gone == sum(sum(news.values()) for news in rounds)
