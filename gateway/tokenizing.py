"""Prompts to token ids, without stalling anybody.

Encoding takes about 1 us a token, so a long prompt encoded on the event loop
would stop every tenant's stream for as long. tiktoken releases the GIL while it
encodes: long texts are encoded in a thread, and the tokens of recent long texts
(the system prompt, the earlier turns of a conversation) are kept.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence

import anyio
import anyio.to_thread

from gateway.harmony.conversation import Conversation
from gateway.harmony.encoding import Encoding
from gateway.harmony.render import Piece, encode, render

# Encoded on the loop in about 2 ms; a thread costs 0.1 ms to reach.
MAX_CHARS_ON_LOOP = 8_192
# Shorter texts are encoded faster than they are looked up and kept.
MIN_CHARS_KEPT = 512
# Of 4 bytes each; with their texts some 16 MB.
MAX_TOKENS_KEPT = 2_000_000
# One tenant's longest prompts must not drive out everybody else's.
MAX_TOKENS_KEPT_OF_ONE_TEXT = MAX_TOKENS_KEPT // 16


class PromptTokenizer:
    """Encodes rendered prompts; one for the whole process."""

    def __init__(self, encoding: Encoding) -> None:
        self.token_bytes = encoding.token_bytes
        self._encoding = encoding
        self._threads = anyio.CapacityLimiter(2)
        self._kept: OrderedDict[str, Sequence[int]] = OrderedDict()
        self._tokens_kept = 0

    async def render(self, conversation: Conversation) -> list[int]:
        """The prompt of *conversation*: token ids, ending with <|start|>assistant."""
        if conversation.tools or conversation.response_format is not None:
            # Schemas are a tenant's own, and may be as long as a body can be. In
            # a thread they share the interpreter instead of keeping it.
            pieces = await anyio.to_thread.run_sync(render, conversation, limiter=self._threads)
        else:
            pieces = render(conversation)
        return await self._encode(pieces)

    async def _encode(self, pieces: Sequence[Piece]) -> list[int]:
        texts = {piece for piece in pieces if isinstance(piece, str)}
        encoded = {text: tokens for text in texts if (tokens := self._recall(text)) is not None}
        missing = texts - encoded.keys()
        if sum(map(len, missing)) <= MAX_CHARS_ON_LOOP:
            encoded |= self._encode_all(missing)
        else:
            encoded |= await anyio.to_thread.run_sync(
                self._encode_all, missing, limiter=self._threads
            )
        for text in missing:
            self._keep(text, encoded[text])
        return encode(pieces, encoded.__getitem__)

    def _encode_all(self, texts: Iterable[str]) -> dict[str, Sequence[int]]:
        return {text: array("I", self._encoding.encode_text(text)) for text in texts}

    def _recall(self, text: str) -> Sequence[int] | None:
        if len(text) < MIN_CHARS_KEPT or (tokens := self._kept.get(text)) is None:
            return None
        self._kept.move_to_end(text)
        return tokens

    def _keep(self, text: str, tokens: Sequence[int]) -> None:
        if len(text) < MIN_CHARS_KEPT or len(tokens) > MAX_TOKENS_KEPT_OF_ONE_TEXT:
            return
        if text in self._kept:  # encoded twice at the same time
            return
        self._kept[text] = tokens
        self._tokens_kept += len(tokens)
        while self._tokens_kept > MAX_TOKENS_KEPT:
            _, dropped = self._kept.popitem(last=False)
            self._tokens_kept -= len(dropped)
