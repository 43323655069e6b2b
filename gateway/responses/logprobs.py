"""Log probabilities: from the engine's, by token, to the API's, by text.

OpenAI's two forms differ: an event tells token and logprob, the content part
that stands in the response tells the token's bytes as well, for a token may be
half a character.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from gateway.generation import TokenLogprob
from gateway.responses.events import Json


class TokenLogprobs:
    """Keeps what the engine told of tokens that have not been shown yet."""

    def __init__(self, token_bytes: Callable[[int], bytes], *, top_logprobs: int) -> None:
        self._token_bytes = token_bytes
        self._top_logprobs = top_logprobs
        self._first = 0  # where in the generation the first of these stands
        self._kept: deque[tuple[int, TokenLogprob]] = deque()

    def receive(self, token_ids: Sequence[int], logprobs: Sequence[TokenLogprob]) -> None:
        """The next tokens of the generation. Engines tell one logprob a token, or break a contract."""
        self._kept.extend(zip(token_ids, logprobs, strict=True))

    def take(self, start: int, end: int) -> list[Json]:
        """Of the tokens from *start* to before *end*, in the content part's form.

        Each is asked for once, and in order. Tokens without text have no entry.
        """
        self.forget(start)
        taken = [
            self._entry(token_id, logprob)
            for token_id, logprob in islice(self._kept, max(end - start, 0))
            if self._token_bytes(token_id)
        ]
        self.forget(end)
        return taken

    def forget(self, end: int) -> None:
        """What stands before *end* will not be asked for."""
        for _ in range(min(end - self._first, len(self._kept))):
            self._kept.popleft()
            self._first += 1

    def _entry(self, token_id: int, token: TokenLogprob) -> Json:
        return {
            **self._token(token_id, token.logprob),
            "top_logprobs": [
                self._token(other_id, logprob)
                for other_id, logprob in token.top[: self._top_logprobs]
            ],
        }

    def _token(self, token_id: int, logprob: float) -> Json:
        text = self._token_bytes(token_id)
        return {"token": text.decode(errors="replace"), "bytes": list(text), "logprob": logprob}


def without_bytes(entries: Sequence[Json]) -> list[Json]:
    """The same in the form that events have."""
    return [
        {
            "token": entry["token"],
            "logprob": entry["logprob"],
            "top_logprobs": [
                {"token": other["token"], "logprob": other["logprob"]} for other in _others(entry)
            ],
        }
        for entry in entries
    ]


def _others(entry: Json) -> list[Json]:
    others = entry["top_logprobs"]
    assert isinstance(others, list)
    return others
