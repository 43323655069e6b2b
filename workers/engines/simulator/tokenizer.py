"""Text <-> token ids of o200k_harmony."""

from __future__ import annotations

from collections.abc import Sequence

import tiktoken

from wire import vocabulary


class Tokenizer:
    """The vocabulary of the wire. Loading takes about 0.4 s and 60 MB."""

    def __init__(self) -> None:
        """Raises VocabularyError."""
        control = {token_id: text for text, token_id in vocabulary.CONTROL_TOKENS.items()}
        ids = range(vocabulary.FIRST_CONTROL_TOKEN, vocabulary.SIZE)
        self._encoding = tiktoken.Encoding(
            "o200k_harmony",
            pat_str=vocabulary.PATTERN,
            mergeable_ranks=vocabulary.load_ranks(),
            # Every id must decode to something: clients may send any.
            special_tokens={control.get(each, f"<|reserved_{each}|>"): each for each in ids},
        )
        self._control = set(vocabulary.CONTROL_TOKENS)

    def encode(self, text: str) -> list[int]:
        """Ordinary text: `<|end|>` spelled out in it is text."""
        return self._encoding.encode_ordinary(text)

    def encode_harmony(self, text: str) -> list[int]:
        """Text in which control tokens are spelled: `<|end|>` is one id."""
        return self._encoding.encode(text, allowed_special=self._control, disallowed_special=())

    def bytes_of(self, token_id: int) -> bytes:
        return self._encoding.decode_single_token_bytes(token_id)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Broken UTF-8 becomes U+FFFD."""
        return self._encoding.decode(token_ids, errors="replace")
