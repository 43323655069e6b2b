"""What stands behind the `?` of a path, checked: one function a kind. Raises ApiError, 400."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from starlette.datastructures import QueryParams

from gateway.responses.errors import invalid_request

Word = TypeVar("Word", bound=str)

MAX_WORDS = 100
MAX_UNIX_S = 10**11


def integer(
    query: QueryParams, name: str, *, default: int, lowest: int = 1, highest: int = 10**9
) -> int:
    """A whole number between both, or *default* if there is none."""
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise invalid_request(
            f"Invalid '{name}': expected a whole number.", code="invalid_value", param=name
        )
    number = int(text)
    if not lowest <= number <= highest:
        raise invalid_request(
            f"Invalid '{name}': expected {lowest} to {highest}.", code="invalid_value", param=name
        )
    return number


def moment(query: QueryParams, name: str, *, default: int | None) -> int:
    """Unix time, s. Without *default* it must be said."""
    if default is None and name not in query:
        raise invalid_request(
            f"Missing required parameter: '{name}'.", code="missing_required_parameter", param=name
        )
    return integer(query, name, default=default or 0, lowest=0, highest=MAX_UNIX_S)


def words(query: QueryParams, name: str) -> list[str]:
    """All values of `name` and `name[]`, also several in one, with commas."""
    given = [*query.getlist(name), *query.getlist(f"{name}[]")]
    found = [word for text in given for word in text.split(",") if word]
    if len(found) > MAX_WORDS:
        raise invalid_request(
            f"Invalid '{name}': at most {MAX_WORDS} values.",
            code="array_above_max_length",
            param=name,
        )
    return found


def choices(query: QueryParams, name: str, among: Sequence[Word]) -> list[Word]:
    """Those of `words` that are *among* these, which all must be."""
    return [_choice(word, name, among) for word in words(query, name)]


def choice(query: QueryParams, name: str, among: Sequence[Word], *, default: Word) -> Word:
    text = query.get(name)
    return default if text is None else _choice(text, name, among)


def is_entry_id(text: str) -> bool:
    """Whether it is an id of a stream's entry, such as 1795348800123-0."""
    first, _, second = text.partition("-")
    return all(each.isascii() and each.isdigit() and len(each) < 20 for each in (first, second))


def flag(query: QueryParams, name: str) -> bool:
    return choice(query, name, ("true", "false"), default="false") == "true"


def _choice(text: str, name: str, among: Sequence[Word]) -> Word:
    for each in among:
        if text == each:
            return each
    raise invalid_request(
        f"Invalid '{name}': supported values are: {', '.join(among)}.",
        code="invalid_value",
        param=name,
    )
