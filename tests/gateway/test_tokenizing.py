"""Prompts become the same tokens wherever they are encoded, and long ones stop nobody."""

from __future__ import annotations

import threading

import anyio
import pytest

from gateway import tokenizing
from gateway.harmony.conversation import Conversation, Effort, Tool, UserMessage
from gateway.harmony.encoding import Encoding
from gateway.harmony.render import encode, render
from gateway.tokenizing import PromptTokenizer


def conversation(*texts: str, tools: tuple[Tool, ...] = ()) -> Conversation:
    return Conversation(
        "2026-11-22", Effort.LOW, None, tools, None, [UserMessage(text) for text in texts]
    )


class Counting(Encoding):
    """Remembers what it encoded, and in which thread."""

    def __init__(self, encoding: Encoding) -> None:
        self.__dict__.update(encoding.__dict__)
        self.encoded: list[str] = []
        self.threads: set[int] = set()

    def encode_text(self, text: str) -> list[int]:
        self.encoded.append(text)
        self.threads.add(threading.get_ident())
        return super().encode_text(text)


@pytest.mark.parametrize("words", [1, 1000, 20_000])
async def test_a_prompt_is_the_same_however_long_it_is(encoding: Encoding, words: int) -> None:
    asked = conversation("naïve words " * words, "and more")
    expected = encode(render(asked), encoding.encode_text)
    tokenizer = PromptTokenizer(encoding)
    assert await tokenizer.render(asked) == expected
    assert await tokenizer.render(asked) == expected  # what is kept is the same


async def test_long_prompts_and_schemas_are_encoded_beside_the_event_loop(
    encoding: Encoding,
) -> None:
    long = Counting(encoding)
    await PromptTokenizer(long).render(conversation("word " * 10_000))
    assert threading.get_ident() not in long.threads

    short = Counting(encoding)
    await PromptTokenizer(short).render(conversation("word"))
    assert short.threads == {threading.get_ident()}


async def test_a_text_that_comes_again_is_not_encoded_again(encoding: Encoding) -> None:
    counting = Counting(encoding)
    tokenizer = PromptTokenizer(counting)
    system, first, second = "system prompt " * 100, "first " * 100, "second " * 100
    await tokenizer.render(conversation(system, first))
    counting.encoded.clear()
    await tokenizer.render(conversation(system, first, second))
    assert second in counting.encoded
    assert system not in counting.encoded
    assert first not in counting.encoded


async def test_the_oldest_texts_make_room_for_new_ones(
    encoding: Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizing, "MAX_TOKENS_KEPT", 1000)
    counting = Counting(encoding)
    tokenizer = PromptTokenizer(counting)
    texts = [f"{number} " + "word " * 300 for number in range(10)]
    async with anyio.create_task_group() as tasks:
        for text in texts:
            tasks.start_soon(tokenizer.render, conversation(text))
    counting.encoded.clear()
    await tokenizer.render(conversation(texts[-1]))
    await tokenizer.render(conversation(texts[0]))
    assert texts[0] in counting.encoded
    assert texts[-1] not in counting.encoded
