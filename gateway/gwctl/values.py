"""The words of the command line as values. Each raises ArgumentTypeError with the reason."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from datetime import date

from gateway.iam import project_id as ids


def positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def positive_or_none(text: str) -> int | None:
    return None if text == "none" else positive(text)


def project_id(text: str) -> str:
    if not ids.is_project_id(text):
        raise ArgumentTypeError(f"{text!r} is not 8 to 64 letters, digits, _ or -")
    return text


def seconds(text: str) -> int:
    match = re.fullmatch(r"([1-9][0-9]{0,4})([hdw])", text)
    if match is None:
        raise ArgumentTypeError(f"{text!r} is not like 12h, 30d or 8w")
    return int(match[1]) * {"h": 3600, "d": 86_400, "w": 604_800}[match[2]]


def day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a day like 2026-11-30") from None


def entry_id(text: str) -> str:
    """Of a stream of Redis: two numbers of 64 bits."""
    match = re.fullmatch(r"([0-9]{1,20})-([0-9]{1,20})", text)
    if match is None or max(int(match[1]), int(match[2])) >= 2**64:
        raise ArgumentTypeError(f"{text!r} is not an entry like 1795348800123-0")
    return text
