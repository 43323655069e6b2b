"""What tokens cost. Pure, and used in reports only: bills are counted in tokens.

A file of prices, YAML or JSON; per million tokens, as text so that they stay exact:

    currency: eur
    models:
      gpt-oss-120b: {input: "0.15", cached: "0.075", output: "0.60"}

Cached input tokens are input tokens; without a price of their own they cost what input costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal, get_args

from gateway.quota.usage import Usage

LineItem = Literal["input", "cached input", "output"]
LINE_ITEMS: tuple[LineItem, ...] = get_args(LineItem)
PER_TOKENS = 1_000_000
_FIELDS = ("input", "cached", "output")


@dataclass(frozen=True, slots=True)
class ModelPrices:
    """Per million tokens."""

    input: Decimal
    cached: Decimal
    output: Decimal

    def cost_of(self, usage: Usage) -> dict[LineItem, Decimal]:
        """Exact, not rounded."""
        uncached = usage.input_tokens - usage.cached_tokens
        return {
            "input": self.input * uncached / PER_TOKENS,
            "cached input": self.cached * usage.cached_tokens / PER_TOKENS,
            "output": self.output * usage.output_tokens / PER_TOKENS,
        }


@dataclass(frozen=True, slots=True)
class Prices:
    currency: str  # ISO 4217, in lower case as OpenAI has it
    models: Mapping[str, ModelPrices]


def read_prices(stored: object) -> Prices:
    """The prices in a parsed file. Raises ValueError, naming what is wrong."""
    if not isinstance(stored, Mapping):
        raise ValueError("a file of prices has `currency` and `models`")  # noqa: TRY004
    unknown = sorted(set(map(str, stored)) - {"currency", "models"})
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not known there; a file has currency and models")
    currency = stored.get("currency")
    if not (isinstance(currency, str) and len(currency) == 3 and currency.isalpha()):
        raise ValueError("currency must be three letters, such as eur")
    models = stored.get("models")
    if not isinstance(models, Mapping) or not models:
        raise ValueError("models must name at least one model and its prices")
    return Prices(
        currency.lower(),
        {str(name): _model_prices(str(name), each) for name, each in models.items()},
    )


def _model_prices(name: str, stored: object) -> ModelPrices:
    if not isinstance(stored, Mapping):
        raise ValueError(f"models.{name} must have input and output")  # noqa: TRY004
    unknown = sorted(set(map(str, stored)) - set(_FIELDS))
    if unknown:
        raise ValueError(f"models.{name}.{unknown[0]} is not known; there are {', '.join(_FIELDS)}")
    given = {field: _price(f"models.{name}.{field}", stored[field]) for field in stored}
    for field in ("input", "output"):
        if field not in given:
            raise ValueError(f"models.{name}.{field} is missing")
    return ModelPrices(given["input"], given.get("cached", given["input"]), given["output"])


def _price(name: str, value: object) -> Decimal:
    # A YAML number has been a float already: 0.1 + 0.2 is not for bills.
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f'{name} must be a text such as "0.15", or a whole number')  # noqa: TRY004
    try:
        price = Decimal(value)
    except InvalidOperation as exc:
        raise ValueError(f"{name} is no number: {value!r}") from exc
    if not price.is_finite() or price < 0:
        raise ValueError(f"{name} must be 0 or more")
    return price
