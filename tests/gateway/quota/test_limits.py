"""Limits, and how much of them a request reserves."""

from __future__ import annotations

import pytest

from gateway.quota.estimate import output_tokens_to_reserve
from gateway.quota.limits import Limits


def test_a_limit_that_would_admit_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="tokens_per_minute must be at least 1"):
        Limits(tokens_per_minute=0)


@pytest.mark.parametrize(
    ("asked", "default", "reserved"), [(5000, 8192, 5000), (None, 8192, 1024), (None, 500, 500)]
)
def test_what_a_client_asks_for_is_reserved_or_else_a_usual_answer(
    asked: int | None, default: int, reserved: int
) -> None:
    assert output_tokens_to_reserve(asked, default_max_output_tokens=default) == reserved
