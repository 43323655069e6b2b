"""Read the header of a harmony message: who says it, on which channel, to whom.

The header of a well-formed message lies between `<|start|>` and `<|message|>`:

    <|start|>assistant to=functions.f<|channel|>commentary <|constrain|>json<|message|>

Real ones have the recipient behind the channel, two channels, dashes, or words
of no meaning. So nothing here parses by position: the words we know are looked
for, and what we do not know is skipped. The cases, with their sources, are in
tests/gateway/harmony/cases.json.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Channel = Literal["analysis", "commentary", "final"]


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says."""

    role: str  # "assistant"; else whom the model plays: "user", "functions.get_weather"
    channel: Channel
    recipient: str | None  # the tool that is addressed, as written: "functions.get_weather"


# A header is matched as bytes, its control tokens spelled out: a token may hold
# half a character.
_NAME = rb"[^\s<]+"
_NOT_ASSISTANT = (
    rb"(?:(?:user|system|developer|tool|python)\b|(?:functions|browser|container)\." + _NAME + rb")"
)

_ROLE = re.compile(rb"<\|start\|>\s*(" + _NOT_ASSISTANT + rb")")
_RECIPIENT = re.compile(rb"to=(" + _NAME + rb")")
_CHANNEL = re.compile(rb"analysis|comment|final")  # the model writes "comment" too
_LEADING_HEADER_WORDS = re.compile(
    rb"(?:\s"
    rb"|<\|start\|>(?:\s*" + _NOT_ASSISTANT + rb")?"
    rb"|assistant\b"
    rb"|to=" + _NAME + rb"|<\|(?:channel|constrain)\|>\s*\w*"
    rb")*+"
)

_CHANNELS: dict[bytes, Channel] = {
    b"analysis": "analysis",
    b"comment": "commentary",
    b"final": "final",
}
_NO_TOOL = frozenset({"all", "assistant", "user"})


@lru_cache(maxsize=256)
def read_header(spelled: bytes) -> Header:
    """Read a header that `<|message|>` has ended. Nearly always one of a few.

    *spelled*: the text of its tokens, and of `<|start|>`, `<|channel|>` and
    `<|constrain|>` their names.
    """
    role = _ROLE.match(spelled)
    recipient = _recipient(spelled)
    return Header(
        role=role[1].decode(errors="replace") if role else "assistant",
        channel=_channel(spelled) or ("final" if recipient is None else "commentary"),
        recipient=recipient,
    )


def read_header_without_end(spelled: bytes) -> tuple[Header, int]:
    """Read what stands where a header should, without `<|message|>` behind it.

    Whatever follows the header's words is the message's text. Returns the
    header and the offset of the text, which is len(*spelled*) if there is none.
    """
    words = _LEADING_HEADER_WORDS.match(spelled)
    assert words is not None  # it matches nothing at all, too
    return read_header(words[0]), words.end()


def _recipient(spelled: bytes) -> str | None:
    found = _RECIPIENT.search(spelled)
    name = found[1].decode(errors="replace") if found else None
    return None if name in _NO_TOOL else name


def _channel(spelled: bytes) -> Channel | None:
    """The last channel that is named: the model corrects itself in mid-header."""
    words = _RECIPIENT.sub(b" ", spelled)  # a tool may well be called final_answer
    before, *named = words.split(b"<|channel|>")
    for part in reversed(named or [before]):
        if found := _CHANNEL.search(part):
            return _CHANNELS[found[0]]
    return None
