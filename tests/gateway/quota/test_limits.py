"""Limits, and how they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.quota.limits import (
    BUDGET_MODES,
    MAX_LIMIT,
    QUOTAS,
    RATE_MODES,
    Limits,
    limits_text,
    read_limits,
)


@pytest.mark.parametrize("quota", QUOTAS)
def test_a_limit_that_would_admit_nothing_is_refused(quota: str) -> None:
    with pytest.raises(ValueError, match=f"{quota} must be at least 1"):
        Limits().changed({quota: 0})


def test_a_limit_that_could_not_be_counted_to_is_refused() -> None:
    with pytest.raises(ValueError, match="monthly_tokens must be at most"):
        Limits(monthly_tokens=MAX_LIMIT + 1)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="rate_mode must be one of hard, shadow"):
        Limits().changed({"rate_mode": "soft"})


@given(
    st.lists(st.none() | st.integers(1, MAX_LIMIT), min_size=len(QUOTAS), max_size=len(QUOTAS)),
    st.sampled_from(RATE_MODES),
    st.sampled_from(BUDGET_MODES),
    st.sampled_from(BUDGET_MODES),
)
def test_limits_are_read_as_they_were_written(
    numbers: list[int | None], rates: str, daily: str, monthly: str
) -> None:
    limits = Limits().changed(
        {
            **dict(zip(map(str, QUOTAS), numbers, strict=True)),
            "rate_mode": rates,
            "daily_mode": daily,
            "monthly_mode": monthly,
        }
    )
    assert read_limits(limits_text(limits)) == limits


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5,6,7,hard,hard", ",,,,,,,soft,hard,hard"])
def test_what_is_no_limits_is_never_read_as_none(text: str) -> None:
    with pytest.raises(ValueError, match="no limits"):
        read_limits(text)
