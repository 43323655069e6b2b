"""How a turn goes on that another worker began. Pure.

A model goes on with whatever it finds. So does the simulator: with what it would have
said itself, if the half turn is the beginning of that; otherwise it brings the open
message to an end, and the turn to a plain one.
"""

from __future__ import annotations

from collections.abc import Sequence

from wire import vocabulary
from workers.engines.simulator.tokenizer import Tokenizer

_ENDS = (vocabulary.END, vocabulary.CALL, vocabulary.RETURN)


def continuation(
    begun: Sequence[int],
    script: Sequence[int],
    tokenizer: Tokenizer,
    *,
    last_words: Sequence[int],
) -> list[int]:
    """What follows *begun*.

    Args:
        begun: the turn's first tokens, as another worker generated them.
        script: the whole turn, as it would be if nothing were begun.
        last_words: of a final message of which nobody knows how it was to go on.
    """
    if list(script[: len(begun)]) == list(begun):
        return list(script[len(begun) :])
    # The prompt says this of the first message; the others say it themselves.
    opening = tokenizer.encode("assistant")
    messages = _messages([vocabulary.START, *opening, *script])
    half = _messages([vocabulary.START, *opening, *begun])[-1]
    for at, message in enumerate(messages):
        # Begun as it would be here, though others were before it.
        if message[: len(half)] == half:
            return [*message[len(half) :], *_joined(messages[at + 1 :])]
    if vocabulary.MESSAGE not in half:
        return [vocabulary.MESSAGE, *last_words, vocabulary.RETURN]
    if half[-1] in _ENDS:
        return _joined(messages[-1:])
    if "final" in tokenizer.decode(half[: half.index(vocabulary.MESSAGE)]):
        return [*last_words, vocabulary.RETURN]
    # A thought that breaks off.
    return [vocabulary.END, *_joined(messages[-1:])]


def _messages(turn: Sequence[int]) -> list[list[int]]:
    """Each from behind its <|start|> to what ends it. *turn* begins with a <|start|>."""
    messages: list[list[int]] = []
    for token_id in turn:
        if token_id == vocabulary.START:
            messages.append([])
        else:
            messages[-1].append(token_id)
    return messages


def _joined(messages: Sequence[Sequence[int]]) -> list[int]:
    return [each for message in messages for each in (vocabulary.START, *message)]
