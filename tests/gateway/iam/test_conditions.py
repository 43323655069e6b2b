"""Conditions: data that holds or does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.iam.address import read_address
from gateway.iam.conditions import (
    WEEKDAYS,
    RequestFacts,
    conditions_to_json,
    read_conditions,
)

PARIS = ZoneInfo("Europe/Paris")
# A Thursday.
FACTS = RequestFacts(
    at=datetime(2026, 11, 26, 9, 30, tzinfo=PARIS).timestamp(),
    address=read_address("10.1.2.3"),
    user_agent="ci/1.2",
    model="gpt-oss-120b",
    tier="default",
)


@pytest.mark.parametrize(
    ("conditions", "unmet"),
    [
        ({}, None),
        ({"not_before": int(FACTS.at)}, None),
        ({"not_before": int(FACTS.at) + 1}, "does not hold before 2026-11-26T08:30:01Z"),
        ({"expires_at": int(FACTS.at) + 1}, None),
        ({"expires_at": int(FACTS.at)}, "has expired at 2026-11-26T08:30:00Z"),
        ({"source_cidrs": ["192.0.2.0/24", "10.0.0.0/8"]}, None),
        ({"source_cidrs": ["192.0.2.0/24"]}, "address 10.1.2.3 is not in 192.0.2.0/24"),
        ({"models": ["gpt-oss-120b"]}, None),
        ({"models": ["gpt-oss-20b"]}, "the model is not one of gpt-oss-20b"),
        ({"tiers": ["default"]}, None),
        ({"tiers": ["flex"]}, "the tier default is not one of flex"),
        ({"user_agent_prefix": "ci/"}, None),
        ({"user_agent_prefix": "cd/"}, "the user agent does not begin with 'cd/'"),
        ({"weekdays": ["thu"]}, None),
        ({"weekdays": ["mon", "fri"]}, "it is thu in UTC, which is not one of fri, mon"),
        ({"hours": "08:00-18:00"}, None),
        ({"hours": "09:00-18:00"}, "it is 08:30 in UTC, which is not in 09:00-18:00"),
        ({"hours": "09:00-18:00", "tz": "Europe/Paris"}, None),
        ({"hours": "22:00-09:00"}, None),
        ({"hours": "22:00-08:30"}, "which is not in 22:00-08:30"),
        ({"hours": "08:30-24:00"}, None),
        # All must hold.
        ({"tiers": ["default"], "models": ["gpt-oss-20b"]}, "the model is not one of"),
    ],
)
def test_a_condition_holds_or_says_why_not(
    conditions: dict[str, object], unmet: str | None
) -> None:
    reason = read_conditions(conditions).unmet(FACTS)
    assert (reason is None) == (unmet is None)
    assert (unmet or "") in (reason or "")


def test_a_model_that_is_not_known_yet_is_left_for_later() -> None:
    conditions = read_conditions({"models": ["gpt-oss-20b"]})
    assert conditions.unmet(replace(FACTS, model=None)) is None


def test_an_address_that_is_not_known_is_in_no_range() -> None:
    conditions = read_conditions({"source_cidrs": ["0.0.0.0/0", "::/0"]})
    assert conditions.unmet(replace(FACTS, address=None)) == "the source address is not known"


@pytest.mark.parametrize(
    ("conditions", "complaint"),
    [
        ({"ip": "10.0.0.1"}, "'ip' is no condition; there are not_before"),
        ({"not_before": "tomorrow"}, "not_before must be a Unix time"),
        ({"not_before": True}, "not_before must be a Unix time"),
        ({"not_before": 5, "expires_at": 5}, "expires_at must be later than not_before"),
        ({"source_cidrs": ["10.0.0.1/8"]}, "'10.0.0.1/8' is no address range"),
        ({"source_cidrs": "10.0.0.0/8"}, "source_cidrs must be a list"),
        ({"models": []}, "models must be a list of 1 to 100"),
        ({"models": [1]}, "models must be a text"),
        ({"user_agent_prefix": ""}, "user_agent_prefix must be a text"),
        ({"weekdays": ["Monday"]}, "weekdays must be of mon, tue"),
        ({"hours": "8-18"}, "hours must be such as 08:00-18:00"),
        ({"hours": "08:00-08:00"}, "begin and end at different times"),
        ({"hours": "08:00-25:00"}, "hours must be such as"),
        ({"tz": "Europe/Paris"}, "tz says nothing without"),
        ({"weekdays": ["mon"], "tz": "Europe/Pariss"}, "is no time zone"),
        ({"weekdays": ["mon"], "tz": "../../etc/passwd"}, "is no time zone"),
        ({"weekdays": ["mon"], "tz": "Europe"}, "is no time zone"),
    ],
)
def test_what_is_no_condition_is_told_by_its_name(
    conditions: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_conditions(conditions)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "not_before": st.integers(0, 10**9),
            "expires_at": st.integers(10**9 + 1, 10**10),
            "source_cidrs": st.lists(st.sampled_from(["10.0.0.0/8", "::/0"]), min_size=1),
            "models": st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=5),
            "weekdays": st.lists(st.sampled_from(WEEKDAYS), min_size=1),
            "hours": st.sampled_from(["08:00-18:00", "22:00-06:00"]),
            "user_agent_prefix": st.text(min_size=1, max_size=20),
        },
    )
)
def test_conditions_are_read_back_as_they_were_written(stored: dict[str, object]) -> None:
    conditions = read_conditions(stored)
    assert read_conditions(conditions_to_json(conditions)) == conditions


@pytest.mark.parametrize(
    ("conditions", "allowed"),
    [
        ({}, {"default", "flex"}),
        ({"tiers": ["priority"]}, {"priority"}),
        ({"tiers": ["priority", "default"]}, {"priority", "default"}),
    ],
)
def test_priority_must_be_given_by_name(conditions: dict[str, object], allowed: set[str]) -> None:
    read = read_conditions(conditions)
    for tier in ("priority", "default", "flex"):
        assert (read.unmet(replace(FACTS, tier=tier)) is None) == (tier in allowed)
    assert read.unmet(replace(FACTS, tier=None)) is None, "not known yet"
