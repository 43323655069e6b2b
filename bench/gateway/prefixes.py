"""A conversation of 20,000 tokens gets one more message: what rendering it costs."""

from __future__ import annotations

import time
from functools import partial

from bench.gateway.figures import Figure
from bench.gateway.stand import Stand, median
from gateway.beside_the_loop import BesideTheLoop
from gateway.responses.prompt import to_conversation
from gateway.responses.request import CreateResponse
from gateway.responses.validation import validated
from gateway.tokenizing import PromptTokenizer

TARGET_MS = 3.0
TURNS = 20
SENTENCES = 110  # of a message, about nine tokens each


async def multi_turn(stand: Stand) -> list[Figure]:
    """CPU of the tokenizer alone, in the thread where the gateway does it."""
    tokenizer = PromptTokenizer(stand.encoding, BesideTheLoop())
    messages = [_message(turn) for turn in range(TURNS)]
    await _render(tokenizer, messages)
    each_ms, tokens = [], 0
    for number in range(9):
        messages.append({"role": "user", "content": f"And now, for the {number}th time?"})
        began = time.process_time()
        tokens = await _render(tokenizer, messages)
        each_ms.append((time.process_time() - began) * 1000)
    return [
        Figure("tokens of the conversation", tokens, ""),
        Figure("rendering it with one more message, CPU", median(each_ms), "ms", TARGET_MS),
    ]


async def _render(tokenizer: PromptTokenizer, messages: list[dict[str, str]]) -> int:
    request = validated(CreateResponse, {"model": "gpt-oss-120b", "input": messages})
    prompt = await tokenizer.render(
        partial(to_conversation, request, "2026-11-27", str),
        project_id="prj_bench",
        body_bytes=100_000,
        max_tokens=131_072,
    )
    return len(prompt)


def _message(turn: int) -> dict[str, str]:
    text = " ".join(f"The sky of day {turn}.{n} is blue." for n in range(SENTENCES))
    return {"role": "assistant" if turn % 2 else "user", "content": text}
