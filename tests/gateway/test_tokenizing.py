"""Prompts become the same tokens wherever they are encoded, and long ones stop nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable

import anyio
import pytest

from gateway import tokenizing
from gateway.beside_the_loop import BesideTheLoop
from gateway.harmony.conversation import Conversation, Effort, Tool, UserMessage
from gateway.harmony.encoding import Encoding, TooManyTokens
from gateway.harmony.render import encode, render
from gateway.tokenizing import PromptTokenizer


def conversation(*texts: str, tools: tuple[Tool, ...] = ()) -> Conversation:
    return Conversation(
        "2026-11-22", Effort.LOW, None, tools, None, [UserMessage(text) for text in texts]
    )


async def prompt(tokenizer: PromptTokenizer, asked: Conversation, project: str = "p") -> list[int]:
    size = sum(len(turn.text) for turn in asked.turns if isinstance(turn, UserMessage))
    rendered = await tokenizer.render(
        lambda: asked, project_id=project, body_bytes=size, max_tokens=100_000
    )
    return list(rendered)


class Counting(Encoding):
    """Remembers what it encoded, and in which thread."""

    def __init__(self, encoding: Encoding) -> None:
        self.__dict__.update(encoding.__dict__)
        self.encoded: list[str] = []
        self.threads: set[int] = set()

    def encode_text(self, text: str, *, max_tokens: int | None = None) -> list[int]:
        self.encoded.append(text)
        self.threads.add(threading.get_ident())
        return super().encode_text(text, max_tokens=max_tokens)


@pytest.mark.parametrize("words", [1, 1000, 20_000])
async def test_a_prompt_is_the_same_however_long_it_is(encoding: Encoding, words: int) -> None:
    asked = conversation("naïve words " * words, "and more")
    expected = list(encode(render(asked), encoding.encode_text))
    tokenizer = PromptTokenizer(encoding, BesideTheLoop())
    assert await prompt(tokenizer, asked) == expected
    assert await prompt(tokenizer, asked) == expected  # what is kept is the same


async def test_long_prompts_and_schemas_are_encoded_beside_the_event_loop(
    encoding: Encoding,
) -> None:
    long = Counting(encoding)
    await prompt(PromptTokenizer(long, BesideTheLoop()), conversation("word " * 10_000))
    assert threading.get_ident() not in long.threads

    short = Counting(encoding)
    await prompt(PromptTokenizer(short, BesideTheLoop()), conversation("word"))
    assert short.threads == {threading.get_ident()}


async def test_a_text_that_comes_again_is_not_encoded_again(encoding: Encoding) -> None:
    counting = Counting(encoding)
    tokenizer = PromptTokenizer(counting, BesideTheLoop())
    system, first, second = "system prompt " * 100, "first " * 100, "second " * 100
    await prompt(tokenizer, conversation(system, first))
    counting.encoded.clear()
    await prompt(tokenizer, conversation(system, first, second))
    assert second in counting.encoded
    assert system not in counting.encoded
    assert first not in counting.encoded


async def test_what_we_write_into_every_prompt_is_encoded_once(encoding: Encoding) -> None:
    counting = Counting(encoding)
    tokenizer = PromptTokenizer(counting, BesideTheLoop())
    await prompt(tokenizer, conversation("a question"))
    counting.encoded.clear()
    await prompt(tokenizer, conversation("another one"))
    assert counting.encoded == ["another one"]


async def test_the_oldest_texts_make_room_for_new_ones(
    encoding: Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizing, "MAX_BYTES_KEPT", 10_000)
    counting = Counting(encoding)
    tokenizer = PromptTokenizer(counting, BesideTheLoop())
    texts = [f"{number} " + "word " * 300 for number in range(10)]
    async with anyio.create_task_group() as tasks:
        for text in texts:
            tasks.start_soon(prompt, tokenizer, conversation(text))
    counting.encoded.clear()
    await prompt(tokenizer, conversation(texts[-1]))
    await prompt(tokenizer, conversation(texts[0]))
    assert texts[0] in counting.encoded
    assert texts[-1] not in counting.encoded


async def test_a_text_that_is_far_too_long_is_given_up_early_and_not_kept(
    encoding: Encoding,
) -> None:
    tokenizer = PromptTokenizer(encoding, BesideTheLoop())
    with pytest.raises(TooManyTokens):
        await prompt(tokenizer, conversation("words " * 1_000_000))
    # What is only somewhat too long is counted to the end, for the message.
    asked = conversation(*["some words " * 10_000] * 6)
    assert len(await prompt(tokenizer, asked)) > 100_000
    assert not tokenizer._kept._kept


async def test_a_project_waits_for_itself_only(encoding: Encoding) -> None:
    beside_the_loop, held, seen = BesideTheLoop(), threading.Event(), list[str]()

    async def run(project_id: str, name: str, work: Callable[[], object]) -> None:
        await beside_the_loop.run(project_id, work)
        seen.append(name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, "greedy", "first", held.wait)
        for _ in range(10):
            tasks.start_soon(run, "greedy", "later", int)
        with anyio.CancelScope() as left:  # a client that leaves loses its place
            left.cancel()
            await run("greedy", "left", int)
        await run("other", "other", int)
        assert seen == ["other"]
        held.set()
    assert seen == ["other", "first", *["later"] * 10]
