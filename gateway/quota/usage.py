"""What one response has used. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """The exact token counts of one response: what is charged."""

    input_tokens: int
    cached_tokens: int  # of the input tokens
    output_tokens: int
    reasoning_tokens: int  # of the output tokens


NOTHING = Usage(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class LeaseProgress:
    """What an open response would be charged if its gateway died now.

    NOTHING until it has produced a token: such a response is free.
    """

    lease_id: str
    kid: str
    usage: Usage
