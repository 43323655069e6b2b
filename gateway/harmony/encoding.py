"""Text to token ids and back, on the vocabulary o200k_harmony.

Text is always ordinary text: `<|start|>` in it is seven characters to the
model, never the token. Control tokens have no text; only the renderer writes
them and only the parser reads them.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import accumulate

import tiktoken

from wire import vocabulary

_CONTROL_TOKEN_NAMES = {
    token_id: name.encode() for name, token_id in vocabulary.CONTROL_TOKENS.items()
}

# Long texts are encoded in slices of some 2 ms, to see early that there are too many.
_SLICE = 32_768  # characters
# Before what this matches the pattern always ends a token's word: no word goes on
# from a letter or digit to a sign (an apostrophe does), nor from a letter to a
# digit. So slices have the ids of the whole text. ASCII and Han only: about rare
# letters Python's Unicode and tiktoken's may disagree.
_WORD_ENDS = re.compile(
    r"(?<=[A-Za-z])[0-9]|(?<=[A-Za-z0-9\u4e00-\u9fff])[\x00-&(-/:-@\[-`{-\x7f\u3001\u3002\uff0c]"
)

# No text that anybody reads goes on for so long without one. What does is cut all the same,
# where its ids may then not be the shortest: encoding takes more and more a character as a word
# grows (10 MB of one letter took 7 s, and now 0.2 s until it is clear that they are too many),
# and gives up, with a Rust panic that no `except Exception` sees, on a million blanks.
_LONGEST_WORD = 131_072  # characters

_OFTEN = 16_384  # tokens


class UnpairedSurrogate(ValueError):
    """Half of a UTF-16 pair, as JSON's `"\\ud800"` makes it: not text in any encoding."""


class TooManyTokens(Exception):
    """A text has more tokens than were allowed; how many, nobody has counted."""


class Encoding:
    """The vocabulary, loaded. Holds no state; threads may share it.

    *mergeable_ranks*: bytes of each text token -> its id, from `wire.vocabulary.load_ranks()`.
    """

    def __init__(self, mergeable_ranks: Mapping[bytes, int]) -> None:
        ranks = dict(mergeable_ranks)
        self._tiktoken = tiktoken.Encoding(
            "o200k_harmony", pat_str=vocabulary.PATTERN, mergeable_ranks=ranks, special_tokens={}
        )
        # It has made a table of its own, and keeps this one for what we do not ask: 15 MB.
        ranks.clear()
        # One text of all tokens by id, and where each begins in it (its end is the next one's
        # beginning): 2 MB, where a list of 200,000 small strings takes 12.
        tokens = [b""] * (max(mergeable_ranks.values()) + 1)
        for token, token_id in mergeable_ranks.items():
            tokens[token_id] = token
        self._text = b"".join(tokens)
        self._begins = array("I", accumulate(map(len, tokens), initial=0))
        # Those that are written most, without a call in Python: 2 MB at most.
        self.token_bytes: Callable[[int], bytes] = lru_cache(_OFTEN)(self._token_bytes)
        """The text of one token: perhaps half a character. b"" for what is no text token."""

    def encode_text(self, text: str, *, max_tokens: int | None = None) -> list[int]:
        """The ids of *text*. Lets other threads run meanwhile: tiktoken releases the GIL.

        Raises:
            UnpairedSurrogate: *text* holds one.
            TooManyTokens: there are more than *max_tokens*, and a long text still to encode.
                So a short text is always encoded, and a few more ids may be returned.
        """
        # tiktoken would encode U+FFFD instead, which nobody sent.
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise UnpairedSurrogate(f"an unpaired surrogate at character {exc.start}") from exc
        token_ids: list[int] = []
        for piece in _slices(text):
            if max_tokens is not None and len(token_ids) > max_tokens:
                raise TooManyTokens
            token_ids += self._tiktoken.encode_ordinary(piece)
        return token_ids

    def _token_bytes(self, token_id: int) -> bytes:
        begins = self._begins
        if 0 <= token_id < len(begins) - 1:
            return self._text[begins[token_id] : begins[token_id + 1]]
        return b""

    def decode(self, token_ids: Iterable[int]) -> str:
        """For people: text, with control tokens spelled out and broken UTF-8 as U+FFFD."""
        return b"".join(map(self._spelled, token_ids)).decode(errors="replace")

    def _spelled(self, token_id: int) -> bytes:
        text = self.token_bytes(token_id) or _CONTROL_TOKEN_NAMES.get(token_id)
        return text if text is not None else b"<|%d|>" % token_id


def _slices(text: str) -> Iterator[str]:
    """The parts of *text*, one at least, which have the ids of the whole unless a word is too long."""
    start = 0
    # Window by window: a search through megabytes would keep the interpreter.
    for window in range(_SLICE, len(text), _SLICE):
        found = _WORD_ENDS.search(text, window, window + _SLICE)
        cut = found.start() if found else window + _SLICE
        if found or cut - start > _LONGEST_WORD:
            yield text[start:cut]
            start = cut
    yield text[start:]
