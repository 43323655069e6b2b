"""The words of the command line as values. Each raises ArgumentTypeError with the reason.

What was said is quoted only where it is short and cannot be a secret.
"""

from __future__ import annotations

import re
import unicodedata
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable
from datetime import date

from gateway.iam import api_key
from gateway.iam import project_id as ids
from gateway.store.usage import EPOCH

# Lua, which counts, has no whole numbers but those that a double holds exactly.
MAX_NUMBER = 2**53
MAX_QUOTED = 40


def name(text: str) -> str:
    """For people: it has to be seen, on one line, and to be stored."""
    if not text.strip():
        raise ArgumentTypeError("a name cannot be empty")
    # An argument that is not UTF-8 holds surrogates; they too are of category C.
    if any(unicodedata.category(each)[0] == "C" for each in text) or len(text.splitlines()) > 1:
        raise ArgumentTypeError("a name has to be UTF-8, on one line, without control characters")
    return text


def kid(text: str) -> str:
    """A kid, also out of a whole token: it is what people have at hand."""
    key = api_key.parse(text)
    if key is not None:
        return key.kid
    # Anything longer may be a damaged token, and our answer may end in a log.
    if re.fullmatch(r"[0-9A-Za-z]{1,16}", text) is None:
        raise ArgumentTypeError("that is neither a kid nor a whole token; see `gwctl key list`")
    return text


def positive(text: str) -> int:
    # Python refuses to read thousands of digits, and says so in words of its own.
    if not text.isascii() or not text.isdigit() or not text.strip("0"):
        raise ArgumentTypeError(f"{_quoted(text)} is not a whole number of at least 1")
    significant = text.lstrip("0")
    if len(significant) > len(str(MAX_NUMBER)) or int(significant) >= MAX_NUMBER:
        raise ArgumentTypeError(f"{_quoted(text)} is too large; the most is {MAX_NUMBER - 1}")
    return int(significant)


def positive_or_none(text: str) -> int | None:
    return None if text == "none" else positive(text)


def project_id(text: str) -> str:
    if not ids.is_project_id(text):
        raise ArgumentTypeError(f"{_quoted(text)} is not 8 to 64 letters, digits, _ or -")
    return text


def seconds(text: str) -> int:
    match = re.fullmatch(r"([1-9][0-9]{0,4})([hdw])", text)
    if match is None:
        raise ArgumentTypeError(f"{_quoted(text)} is not like 12h, 30d or 8w")
    return int(match[1]) * {"h": 3600, "d": 86_400, "w": 604_800}[match[2]]


def seconds_or_none(text: str) -> int:
    return 0 if text == "0" else seconds(text)


def among(words: Iterable[str]) -> Callable[[str], list[str]]:
    """Some of *words*, with commas between."""
    known = list(words)

    def read(text: str) -> list[str]:
        named = text.split(",")
        if not set(named) <= set(known):
            raise ArgumentTypeError(f"{_quoted(text)} is not of {', '.join(known)}")
        return named

    return read


def day(text: str) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{_quoted(text)} is not a day like 2026-11-30") from None
    if found < EPOCH:
        raise ArgumentTypeError(f"{_quoted(text)} is before {EPOCH}")
    return found


def entry_id(text: str) -> str:
    """Of a stream of Redis: two numbers of 64 bits."""
    match = re.fullmatch(r"([0-9]{1,20})-([0-9]{1,20})", text)
    if match is None or max(int(match[1]), int(match[2])) >= 2**64:
        raise ArgumentTypeError(f"{_quoted(text)} is not an entry like 1795348800123-0")
    return text


def _quoted(text: str) -> str:
    return repr(text) if len(text) <= MAX_QUOTED else f"{text[: MAX_QUOTED - 3]!r}..."
