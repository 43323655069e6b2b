"""Prompt ids -> the messages in them, and the few facts that the simulator wants."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from wire import vocabulary
from workers.engines.simulator.tokenizer import Tokenizer

Effort = Literal["low", "medium", "high"]

_EFFORT = re.compile(r"^Reasoning: (low|medium|high)\s*$", re.MULTILINE | re.IGNORECASE)
_ENDS = (vocabulary.END, vocabulary.CALL, vocabulary.RETURN)


@dataclass(frozen=True, slots=True)
class PromptMessage:
    """One message of the prompt, in the order of the prompt."""

    role: str  # "system", "developer", "user", "assistant", or a tool: "functions.now"
    text: str


def read_messages(prompt: Sequence[int], tokenizer: Tokenizer) -> list[PromptMessage]:
    """The complete messages of *prompt*; the open `<|start|>assistant` is none.

    Never fails: what is no harmony has no messages.
    """
    return [_message(prompt[start:stop], tokenizer) for start, stop in _bounds(prompt)]


def effort(messages: Sequence[PromptMessage]) -> Effort:
    """The reasoning effort that the system message asks for; medium if it does not say."""
    for message in messages:
        if message.role == "system" and (match := _EFFORT.search(message.text)):
            match match[1].lower():
                case "low":
                    return "low"
                case "high":
                    return "high"
    return "medium"


def last_user_text(messages: Sequence[PromptMessage]) -> str:
    """What the user said last; "" if nothing."""
    return next((each.text for each in reversed(messages) if each.role == "user"), "")


def has_tool_result(messages: Sequence[PromptMessage]) -> bool:
    """Did a tool answer after the user spoke last?"""
    for message in reversed(messages):
        if message.role == "user":
            return False
        if message.role.startswith("functions."):
            return True
    return False


def _bounds(prompt: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First id after <|start|>, and the id after the message's last."""
    # index() searches in C: a loop over 100,000 ids would stall the batch.
    start = _find(prompt, vocabulary.START, 0)
    while start < len(prompt):
        following = _find(prompt, vocabulary.START, start + 1)
        if _find(prompt, vocabulary.MESSAGE, start) < following:
            yield start + 1, following
        start = following


def _message(ids: Sequence[int], tokenizer: Tokenizer) -> PromptMessage:
    header, body = ids[: (at := _find(ids, vocabulary.MESSAGE, 0))], ids[at + 1 :]
    if body and body[-1] in _ENDS:
        body = body[:-1]
    author = header[: _find(header, vocabulary.CHANNEL, 0)]
    role = tokenizer.decode(author).split(" ", 1)[0]
    return PromptMessage(role, tokenizer.decode(body))


def _find(ids: Sequence[int], token_id: int, start: int) -> int:
    """Where *token_id* is next; the end if nowhere."""
    try:
        return ids.index(token_id, start)
    except ValueError:
        return len(ids)
