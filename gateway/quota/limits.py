"""What a project may use. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

# The words of reserve.lua, of the config hash in Redis and of `gwctl` alike.
Quota = Literal["requests_per_minute", "tokens_per_minute", "concurrent_requests"]
QUOTAS: tuple[Quota, ...] = get_args(Quota)


@dataclass(frozen=True, slots=True)
class Limits:
    """A project's quotas; None means unlimited. Tokens are input and output together."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for a limit that would admit nothing."""
        for field in fields(self):
            limit = getattr(self, field.name)
            if limit is not None and limit < 1:
                raise ValueError(f"{field.name} must be at least 1, or left out for unlimited")
