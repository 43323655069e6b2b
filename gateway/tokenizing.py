"""Prompts to token ids, without stalling anybody.

Encoding takes about 1 us a token, so a long prompt encoded on the event loop
would stop every tenant's stream for as long. Long prompts are made in a thread
(`beside_the_loop.py`), given up as soon as they are too long, and the tokens of
recent texts (the system prompt, the earlier turns of a conversation) are kept. Of short ones
too: to find or to keep one takes 0.3 to 0.7 us, to encode a single word 1, and words like
"assistant" are in every prompt.
"""

from __future__ import annotations

import sys
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence

from gateway.beside_the_loop import BesideTheLoop
from gateway.harmony.conversation import Conversation
from gateway.harmony.encoding import Encoding
from gateway.harmony.render import encode, render

# Made on the loop in about 2 ms; a thread costs 0.1 ms to reach.
MAX_BYTES_ON_LOOP = 8_192
# Of texts and tokens, and of what holds them. Characters would not do: a megabyte of blanks
# and one emoji are 4 MB in memory.
MAX_BYTES_KEPT = 64 * 1024 * 1024
# One tenant's longest texts must not drive out everybody else's.
MAX_BYTES_KEPT_OF_ONE_TEXT = 256 * 1024
_HOLDING_BYTES = 256  # one text and its tokens


class PromptTokenizer:
    """Makes prompts; one for the whole process."""

    def __init__(self, encoding: Encoding, beside_the_loop: BesideTheLoop) -> None:
        self.token_bytes = encoding.token_bytes
        self._encoding = encoding
        self._beside_the_loop = beside_the_loop
        self._kept = _KeptTexts()

    async def render(
        self,
        conversation: Callable[[], Conversation],
        *,
        project_id: str,
        body_bytes: int,
        max_tokens: int,
    ) -> array[int]:
        """The prompt of what *conversation* returns: token ids, ending with <|start|>assistant.

        *body_bytes* is the length of what the client sent, and decides where this is done.
        Raises what *conversation* raises, and TooManyTokens if it is clear early that there are
        more than *max_tokens*; a few more may also be returned.
        """

        if body_bytes > MAX_BYTES_ON_LOOP:
            return await self._beside_the_loop.run(
                project_id, lambda: self._prompt(conversation(), max_tokens)
            )
        small = conversation()
        # Of a few references in a schema, a megabyte of types can be made.
        if small.tools or small.response_format is not None:
            return await self._beside_the_loop.run(
                project_id, lambda: self._prompt(small, max_tokens)
            )
        return self._prompt(small, max_tokens)

    def _prompt(self, conversation: Conversation, max_tokens: int) -> array[int]:
        pieces = render(conversation)
        encoded: dict[str, Sequence[int]] = {}
        missing: list[str] = []
        tokens_left = max_tokens
        for text in {piece for piece in pieces if isinstance(piece, str)}:
            tokens = self._kept.get(text)
            if tokens is None:
                tokens = array("i", self._encoding.encode_text(text, max_tokens=tokens_left))
                missing.append(text)
            encoded[text] = tokens
            tokens_left = max(0, tokens_left - len(tokens))
        prompt = encode(pieces, encoded.__getitem__)
        if len(prompt) <= max_tokens:  # nobody sends again what was refused
            for text in missing:
                self._kept.keep(text, encoded[text])
        return prompt


class _KeptTexts:
    """The tokens of recent texts. Threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[Sequence[int], int]] = OrderedDict()  # with their size
        self._bytes = 0

    def get(self, text: str) -> Sequence[int] | None:
        with self._lock:
            if (kept := self._kept.get(text)) is None:
                return None
            self._kept.move_to_end(text)
        return kept[0]

    def keep(self, text: str, tokens: Sequence[int]) -> None:
        size = sys.getsizeof(text) + sys.getsizeof(tokens) + _HOLDING_BYTES
        if size > MAX_BYTES_KEPT_OF_ONE_TEXT:
            return
        with self._lock:
            if text in self._kept:  # encoded twice at the same time
                return
            self._kept[text] = (tokens, size)
            self._bytes += size
            while self._bytes > MAX_BYTES_KEPT:
                _, (_, dropped) = self._kept.popitem(last=False)
                self._bytes -= dropped
