"""How many output tokens to reserve before any is generated. Pure.

Charging is exact at settlement; the reservation only decides who is admitted
meanwhile. Reserving the model's maximum for everybody starves the project
itself (6.9k of a 60k/min limit served, measured), hence the small default.
"""

from __future__ import annotations

UNSTATED_OUTPUT_TOKENS = 1024


def output_tokens_to_reserve(
    max_output_tokens: int | None, *, default_max_output_tokens: int
) -> int:
    """What to reserve: all that the client asked for, else a usual answer.

    A client that sets max_output_tokens has told how long its answer may be, and
    is taken at its word. *default_max_output_tokens*: what the generation is
    limited to when the client does not say.
    """
    if max_output_tokens is not None:
        return max_output_tokens
    return min(default_max_output_tokens, UNSTATED_OUTPUT_TOKENS)
