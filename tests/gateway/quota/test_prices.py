"""What tokens cost: exact, and from files that say what is wrong with them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.quota.prices import read_prices
from gateway.quota.usage import Usage

FILE = {"currency": "EUR", "models": {"m": {"input": "0.15", "cached": "0.075", "output": "0.60"}}}


def test_a_cost_is_exact() -> None:
    prices = read_prices(FILE)
    assert prices.currency == "eur"
    costs = prices.models["m"].cost_of(Usage(1_000_001, 1, 3, 2))
    assert costs == {
        "input": Decimal("0.15"),
        "cached input": Decimal("0.000000075"),
        "output": Decimal("0.0000018"),
    }


def test_cached_tokens_cost_what_input_costs_unless_the_file_says() -> None:
    prices = read_prices({"currency": "eur", "models": {"m": {"input": 2, "output": "8"}}})
    assert sum(prices.models["m"].cost_of(Usage(1_000_000, 400_000, 0, 0)).values()) == 2


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (None, "has `currency` and `models`"),
        ({"models": {}}, "three letters"),
        ({"currency": "eur"}, "at least one model"),
        ({**FILE, "vat": 1}, "'vat' is not known"),
        ({"currency": "eur", "models": {"m": {"input": "1"}}}, "models.m.output is missing"),
        ({"currency": "eur", "models": {"m": 5}}, "models.m must have"),
        (
            {"currency": "eur", "models": {"m": {"input": 0.15, "output": "1"}}},
            'models.m.input must be a text such as "0.15"',
        ),
        ({"currency": "eur", "models": {"m": {"input": "x", "output": "1"}}}, "is no number"),
        ({"currency": "eur", "models": {"m": {"input": "-1", "output": "1"}}}, "0 or more"),
        ({"currency": "eur", "models": {"m": {"input": "NaN", "output": "1"}}}, "0 or more"),
        ({"currency": "eur", "models": {"m": {"in": "1"}}}, "models.m.in is not known"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(stored: object, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("`", ".")):
        read_prices(stored)
