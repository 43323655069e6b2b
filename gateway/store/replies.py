"""Redis's replies as text. All we store is ASCII or UTF-8."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def text(reply: bytes | str) -> str:
    return reply.decode() if isinstance(reply, bytes) else reply


def fields(reply: Mapping[bytes | str, bytes | str]) -> dict[str, str]:
    """A hash, or a stream entry."""
    return {text(name): text(value) for name, value in reply.items()}


def members(reply: Iterable[bytes | str]) -> list[str]:
    """A set, sorted: what is printed should not change its order."""
    return sorted(text(member) for member in reply)
