"""`SIM: {...}`: a line of a prompt with which a test directs the simulator.

Obeyed only with WORKER_SIMULATOR_DIRECTIVES=1; otherwise the line is text like any
other. The last such line of the prompt counts, whoever wrote it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from workers.engine import InvalidRequest
from workers.engines.simulator.conversation import PromptMessage

_LINE = re.compile(r"^SIM: (.*)$\n?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Directives:
    """What the keys of the JSON object mean. None = as usual."""

    text: str | None = None  # the final message, exactly
    reasoning: str | None = None  # the analysis message, exactly; "" = no such message
    raw: str | None = None  # all there is to say, in harmony with control tokens spelled
    repeat: int | None = None  # the final message is repeated until it has so many tokens
    queue_ms: float | None = None  # stay in the queue for so long
    first_token_ms: float | None = None
    tokens_per_second: float | None = None  # 0 = as fast as possible
    # tokens_per_second holds only behind so many tokens of the turn, and not for a worker
    # that goes on with it later still.
    slow_after: int | None = None
    # After so many tokens of the turn, whoever generated them. A worker that goes on with
    # it fails as well; it hangs or dies only if that has not happened yet.
    fail_after: int | None = None  # EngineFailed
    hang_after: int | None = None  # ... nothing more, not even heartbeats
    die_after: int | None = None  # ... the process ends, as if the kernel had killed it

    def behind(self, generated_tokens: int) -> Directives:
        """What is left of them for whoever goes on after so many tokens."""
        if not generated_tokens:
            return self

        def left(after: int | None) -> int | None:
            return None if after is None or after <= generated_tokens else after - generated_tokens

        slow_after = left(self.slow_after)
        slowed = self.slow_after is not None and slow_after is None
        fail_after = None if self.fail_after is None else self.fail_after - generated_tokens
        return replace(
            self,
            tokens_per_second=None if slowed else self.tokens_per_second,
            slow_after=slow_after,
            fail_after=None if fail_after is None else max(0, fail_after),
            hang_after=left(self.hang_after),
            die_after=left(self.die_after),
        )


_TEXTS = {"text", "reasoning", "raw"}
_COUNTS = {"repeat", "slow_after", "fail_after", "hang_after", "die_after"}
_AMOUNTS = {"queue_ms", "first_token_ms", "tokens_per_second"}


def read_directives(messages: Sequence[PromptMessage]) -> Directives:
    """The directives of a prompt; none if no line has any.

    Raises:
        InvalidRequest: the last directive is not what it must be.
    """
    for message in reversed(messages):
        if lines := _LINE.findall(message.text):
            return _parse(lines[-1])
    return Directives()


def without_directives(text: str) -> str:
    return _LINE.sub("", text)


def _parse(text: str) -> Directives:
    try:
        given = json.loads(text)
    except ValueError as exc:
        raise InvalidRequest(f"directive SIM: {text} is not JSON: {exc}") from exc
    if not isinstance(given, dict):
        raise InvalidRequest(f"directive SIM: {text} is not a JSON object")
    for key, value in given.items():
        if wanted := _complaint(key, value):
            raise InvalidRequest(f"directive SIM: {text}: {key} {wanted}")
    if "slow_after" in given and not given.get("tokens_per_second"):
        raise InvalidRequest(f"directive SIM: {text}: slow_after needs tokens_per_second above 0")
    return Directives(**given)


def _complaint(key: str, value: Any) -> str | None:
    if key in _TEXTS:
        return None if isinstance(value, str) else "must be a string"
    if key in _COUNTS:
        good = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        return None if good else "must be a whole number of at least 0"
    if key in _AMOUNTS:
        good = isinstance(value, int | float) and not isinstance(value, bool)
        return None if good and 0 <= value < float("inf") else "must be a number of at least 0"
    return "is not known"
