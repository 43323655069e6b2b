"""A turn that its grammar accepts, token by token.

First what the simulator would have said anyway, as far as the grammar lets it; then a
plain last message, as far as it lets that; and where it does not, whatever it allows
and comes soonest to an end. Every token passes the same matcher as on a GPU, so what
comes out fits its constraint whatever was proposed; max_tokens may cut it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from llguidance import LLMatcher

from wire import vocabulary
from workers.compiled_grammars import matcher_complaint, replay
from workers.engine import InvalidRequest
from workers.engines.simulator.tokenizer import Tokenizer

_WORDS_IN_A_STRING = 3
_TOKENS_A_LOOK = 64  # between two looks at the clock


@dataclass(frozen=True, slots=True)
class LastMessage:
    """A way to end the turn, in token ids."""

    header: Sequence[int]  # up to <|message|>
    body: Sequence[int]  # with the token that ends it


class Candidates:
    """What is tried, before the vocabulary is searched, where a proposal was refused."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        def ids(*texts: str) -> list[int]:
            return [token_id for text in texts for token_id in tokenizer.encode(text)]

        self.ends = [vocabulary.RETURN, vocabulary.CALL, vocabulary.MESSAGE, vocabulary.END]
        self.channels = ids("final", "commentary", "analysis")
        self.words = ids(" the", " answer", " is", " here", " and", " there", " now")
        self.quote = ids('"')[0]
        self.characters = ids(*map(chr, range(ord(" "), 127)))
        # An object or an array is closed as soon as it may be, and no optional part
        # is begun: so schemas that contain themselves come to an end.
        self.closing = ids("}", "]", "null", ",", ":", "true", '"')
        self.digits = ids(*"0123456789-.")
        self.opening = ids("{", "[")
        self.next_message = [vocabulary.END, vocabulary.START, *ids("assistant")]


class ConstrainedWriter:
    """Writes one turn."""

    def __init__(
        self,
        matcher: LLMatcher,
        tokenizer: Tokenizer,
        candidates: Candidates,
        rng: random.Random,
        *,
        begun: Sequence[int] = (),
        max_tokens: int,
        follow_s: float,
    ) -> None:
        """Begin to write, or go on.

        Args:
            begun: what another worker has written of the turn; not written again.
            max_tokens: to write at most.
            follow_s: CPU time of the thread to take at most; grammars may be slow to follow.
                That others keep the machine busy is not the grammar's fault.
        """
        self._matcher = matcher
        self._tokenizer = tokenizer
        self._candidates = candidates
        self._rng = rng
        self._max_tokens = max_tokens
        self._follow_s = follow_s
        self._give_up_at = 0.0  # by the thread's clock, once it writes
        self._begun = begun
        self._written: list[int] = []
        self._words = 0  # since the string began
        self._in_string = False  # of JSON
        self._escaped = False

    def write(self, script: Sequence[int], last: LastMessage) -> list[int]:
        """A turn that follows *script* while it may, and ends in *last* if it can.

        Raises:
            InvalidRequest: the grammar cannot be followed to the end, or never led to
                where the turn was begun.
        """
        self._give_up_at = time.thread_time() + self._follow_s
        self._replay()
        self._follow(script)
        while len(self._written) < self._max_tokens and not self._over():
            self._go_on(last)
        return self._written

    def _replay(self) -> None:
        """Bring the grammar to where the other worker left it."""
        replay(self._matcher, self._begun)
        self._check()
        self._read(self._begun)

    def _over(self) -> bool:
        """Has the turn ended? Adds the <|return|> if nothing else may follow."""
        if self._written and self._written[-1] in (vocabulary.RETURN, vocabulary.CALL):
            return True
        self._check()
        if not self._matcher.is_stopped():
            return False
        self._written.append(vocabulary.RETURN)
        return True

    def _check(self) -> None:
        if self._matcher.is_error():
            complaint = matcher_complaint(self._matcher.get_error())
            raise InvalidRequest(f"constraint: cannot be followed: {complaint}")
        if self._matcher.is_stopped() and not self._matcher.is_accepting():
            raise InvalidRequest("constraint: nothing satisfies it")
        if time.thread_time() > self._give_up_at:
            raise InvalidRequest("constraint: takes too long to follow")

    def _follow(self, token_ids: Sequence[int]) -> None:
        """Write as many of them as the grammar takes."""
        if self._matcher.is_stopped():
            return  # it would take the question for an error
        ids = list(token_ids)
        if vocabulary.RETURN in ids:
            ids = ids[: ids.index(vocabulary.RETURN)]
        for start in range(0, len(ids), _TOKENS_A_LOOK):
            piece = ids[start : start + _TOKENS_A_LOOK]
            accepted = self._matcher.try_consume_tokens(piece)
            self._note(piece[:accepted])
            self._check()
            if accepted < len(piece):
                return
        if len(ids) < len(token_ids) and self._matcher.is_accepting():
            self._written.append(vocabulary.RETURN)

    def _go_on(self, last: LastMessage) -> None:
        if self._last_message(last):
            return
        if forced := self._matcher.compute_ff_tokens():
            self._take(forced)
            return
        mask = self._matcher.compute_bitmask()
        self._check()
        self._take([self._choose(mask)])

    def _last_message(self, last: LastMessage) -> bool:
        """Begin *last*, if a message may begin here or after what is open."""
        for before in ([], self._candidates.next_message):
            begin = [*before, *last.header]
            if self._matcher.validate_tokens(begin) == len(begin):
                self._take(begin)
                self._follow(last.body)
                return True
        return False

    def _choose(self, mask: bytes) -> int:
        candidates = self._candidates
        groups: Sequence[Sequence[int]]
        if self._in_string:
            words = self._drawn(candidates.words) if self._words < _WORDS_IN_A_STRING else []
            groups = [words, [candidates.quote], self._drawn(candidates.characters)]
        else:
            digits = self._drawn(candidates.digits)
            letters = self._drawn(candidates.characters)  # of a function's name, or of `false`
            groups = [candidates.channels, candidates.closing, digits, candidates.opening, letters]
        for group in (candidates.ends, *groups):
            for token_id in group:
                if _allows(mask, token_id):
                    return token_id
        return self._anything(mask)

    def _drawn(self, token_ids: Sequence[int]) -> list[int]:
        return self._rng.sample(token_ids, len(token_ids))

    def _anything(self, mask: bytes) -> int:
        """One of the shortest tokens that are allowed: never the same for ever."""
        allowed = [
            at * 8 + bit
            for at, byte in enumerate(mask)
            if byte
            for bit in range(8)
            if byte >> bit & 1
        ]
        lengths = [len(self._tokenizer.bytes_of(each)) for each in allowed]
        shortest = min(lengths)
        pairs = zip(allowed, lengths, strict=True)
        return self._rng.choice([each for each, length in pairs if length == shortest])

    def _take(self, token_ids: Sequence[int]) -> None:
        """Write what the grammar is known to take."""
        if token_ids[-1] == vocabulary.RETURN:
            self._written.append(vocabulary.RETURN)
            return
        taken = self._matcher.consume_tokens(list(token_ids))
        if taken:
            self._note(token_ids)

    def _note(self, token_ids: Sequence[int]) -> None:
        self._written += token_ids
        self._read(token_ids)

    def _read(self, token_ids: Sequence[int]) -> None:
        """Keep track of where JSON strings begin and end."""
        for token_id in token_ids:
            if token_id >= vocabulary.FIRST_CONTROL_TOKEN:
                self._in_string = self._escaped = False
                continue
            self._words += 1
            for byte in self._tokenizer.bytes_of(token_id):
                self._note_byte(byte)

    def _note_byte(self, byte: int) -> None:
        if self._escaped:
            self._escaped = False
        elif byte == ord('"'):
            self._in_string = not self._in_string
            self._words = 0
        elif byte == ord("\\"):
            self._escaped = self._in_string


def _allows(mask: bytes, token_id: int) -> bool:
    return bool(mask[token_id >> 3] >> (token_id & 7) & 1)
