"""Read harmony: token ids in, message events out.

Rules:
- Never raises, whatever the ids. Real output is often malformed; what cannot
  be read as harmony is text of the message it stands in.
- A token costs the same in a message of any length, and the text does not
  depend on how the tokens are cut into calls.

The parser begins inside a header, since every prompt ends with
`<|start|>assistant`, and then goes back and forth:

    HEADER --<|message|>, or text where a header should be--> BODY
    BODY --<|end|> <|return|> <|call|> <|endoftext|> <|start|> <|channel|>--> HEADER

Between two messages it is in a header that has no token yet.

Why not openai_harmony.StreamableParser: it raises on what gpt-oss really
emits, takes `final <|constrain|>json` for a tool call, and its state costs
790 us a token in a message of 20,000. This one costs 1.
"""

from __future__ import annotations

import codecs
import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gateway.harmony.header import Channel, Header, read_header, read_header_without_end
from wire.vocabulary import CALL, CHANNEL, CONSTRAIN, END, ENDOFTEXT, MESSAGE, RETURN, START


@dataclass(frozen=True, slots=True)
class MessageStarted:
    """Text will follow, for *channel*, and if there is a *recipient*, for that tool."""

    channel: Channel
    recipient: str | None  # as written: "functions.get_weather", "get_weather", "python"
    role: str = "assistant"  # anything else: the model plays somebody else


@dataclass(slots=True)  # not frozen: that costs a microsecond a chunk
class TextDelta:
    """More text of the message. Never empty, never half a character."""

    text: str
    # Its tokens, counted from the generation's first. Which of two deltas a token
    # is in depends on how the tokens were cut, so it is no part of what was said.
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)  # the first token that is not in it


@dataclass(frozen=True, slots=True)
class MessageEnded:
    """*whole* is False if the tokens ran out before the message's end."""

    whole: bool
    token_count: int  # of its text, without header and end


HarmonyEvent = MessageStarted | TextDelta | MessageEnded

# A function's name has 128 characters at most, so a real header is shorter. One
# that is longer is an answer without markup, and waits no more to be shown.
HEADER_LIMIT_TOKENS = 160

_ENDS = frozenset({END, RETURN, CALL, ENDOFTEXT})
# Neither belongs into a text: the model forgot an <|end|>.
_ENDS_BODY = _ENDS | {START, CHANNEL}
_IN_HEADER = {
    START: b"<|start|>",
    CHANNEL: b"<|channel|>",
    CONSTRAIN: b"<|constrain|>",
}


class _State(enum.Enum):
    HEADER = enum.auto()
    BODY = enum.auto()


class HarmonyParser:
    """Reads one generation.

    *token_bytes* gives the text of a token, b"" for what has none
    (`Encoding.token_bytes`).
    """

    def __init__(self, token_bytes: Callable[[int], bytes]) -> None:
        self._token_bytes = token_bytes
        self._state = _State.HEADER
        self._header: list[int] = []
        self._header_positions: list[int] = []
        self._position = 0  # of the token that is being read
        self._text_start = 0  # of the tokens whose text is in no event yet
        self._undecoded: list[bytes] = []  # text of this call that is in no event yet
        self._token_count = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def receive(self, token_ids: Iterable[int]) -> list[HarmonyEvent]:
        """The events that *token_ids* complete, their text in as few deltas as possible."""
        events: list[HarmonyEvent] = []
        for token_id in token_ids:
            if self._state is _State.HEADER:
                self._receive_in_header(token_id, events)
            elif token_id not in _ENDS_BODY:
                self._append(token_id)
            else:
                self._end_message(events, whole=True)
                if token_id not in _ENDS:
                    self._append_to_header(token_id)
            self._position += 1
        self._flush_text(events)
        return events

    def finish(self) -> list[HarmonyEvent]:
        """The engine stopped. If no token said so, the message that is open ends, not whole."""
        events: list[HarmonyEvent] = []
        if self._state is _State.BODY:
            self._end_message(events, whole=False)
        else:
            self._end_header(events, whole=False)
        return events

    def _receive_in_header(self, token_id: int, events: list[HarmonyEvent]) -> None:
        if token_id == MESSAGE:
            self._start_message(read_header(self._spelled_header()), events)
            self._text_start = self._position + 1
            self._clear_header()
        elif token_id in _ENDS:
            self._end_header(events, whole=True)
        elif token_id == START:
            self._end_header(events, whole=True)
            self._append_to_header(token_id)
        elif self._spelled(token_id):
            self._append_to_header(token_id)
            if len(self._header) == HEADER_LIMIT_TOKENS:
                header, text_offset = read_header_without_end(self._spelled_header())
                self._start_message(header, events)
                self._move_header_to_text(text_offset)

    def _end_header(self, events: list[HarmonyEvent], *, whole: bool) -> None:
        """No `<|message|>` will come: what is no header word is the message."""
        spelled = self._spelled_header()
        header, text_offset = read_header_without_end(spelled)
        has_text = text_offset < len(spelled)
        # A call without arguments is one, unless its name may have been cut.
        is_call = header.recipient is not None and whole
        if has_text or is_call:
            self._start_message(header, events)
            self._move_header_to_text(text_offset)
            self._end_message(events, whole=whole)
        self._clear_header()

    def _start_message(self, header: Header, events: list[HarmonyEvent]) -> None:
        assert self._state is _State.HEADER
        self._state = _State.BODY
        self._token_count = 0
        events.append(MessageStarted(header.channel, header.recipient, header.role))

    def _end_message(self, events: list[HarmonyEvent], *, whole: bool) -> None:
        assert self._state is _State.BODY
        self._state = _State.HEADER
        self._flush_text(events, final=True)
        events.append(MessageEnded(whole, self._token_count))

    def _append(self, token_id: int) -> None:
        # Control tokens and unknown ids count, but have no text to show.
        self._token_count += 1
        self._undecoded.append(self._token_bytes(token_id))

    def _flush_text(self, events: list[HarmonyEvent], *, final: bool = False) -> None:
        text = self._decoder.decode(b"".join(self._undecoded), final)
        if text:
            end = self._position - self._tokens_held_back()
            events.append(TextDelta(text, self._text_start, end))
            self._text_start = end
        self._undecoded.clear()

    def _tokens_held_back(self) -> int:
        """How many of the last tokens end in half a character, or lie within it."""
        missing = len(self._decoder.getstate()[0])
        count = 0
        while missing > 0:
            count += 1
            missing -= len(self._undecoded[-count])
        return count

    def _move_header_to_text(self, text_offset: int) -> None:
        """Make the header's tokens text, from byte *text_offset* of its spelling on."""
        end = 0
        self._text_start = self._position
        for token_id, position in zip(self._header, self._header_positions, strict=True):
            end += len(self._spelled(token_id))
            if end > text_offset:
                self._text_start = min(self._text_start, position)
                self._append(token_id)
                # The token in which the text begins may begin before it.
                self._undecoded[-1] = self._undecoded[-1][-(end - text_offset) :]
        self._clear_header()

    def _append_to_header(self, token_id: int) -> None:
        self._header.append(token_id)
        self._header_positions.append(self._position)

    def _clear_header(self) -> None:
        self._header.clear()
        self._header_positions.clear()

    def _spelled_header(self) -> bytes:
        return b"".join(map(self._spelled, self._header))

    def _spelled(self, token_id: int) -> bytes:
        return _IN_HEADER.get(token_id) or self._token_bytes(token_id)
