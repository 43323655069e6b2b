"""One generation through a real Triton: what a gateway sees."""

from __future__ import annotations

import pytest

from tests.workers.prompts import WEATHER, harmony, user
from tests.workers.triton_client import TritonClient, greedy
from wire import vocabulary
from wire.v1 import generation_pb2 as wire
from workers.engines.simulator.tokenizer import Tokenizer


async def test_a_generation_is_a_harmony_turn(triton: TritonClient, tokenizer: Tokenizer) -> None:
    answer = await triton.generate(user("Why is the sky blue?"), greedy())

    text = tokenizer.decode(answer.token_ids)
    analysis, final = text.split("<|end|><|start|>assistant")
    assert analysis.startswith("<|channel|>analysis<|message|>")
    assert final.startswith("<|channel|>final<|message|>")
    assert "Why is the sky blue?" in final
    assert answer.chunks[0].started.engine == "simulator"
    assert answer.finished.reason == wire.Finished.STOP
    assert answer.finished.stop_token_id == vocabulary.RETURN == answer.token_ids[-1]


async def test_the_same_seed_says_the_same_and_no_seed_does_not(triton: TritonClient) -> None:
    seeded = greedy(sampling=wire.Sampling(temperature=1, top_p=1, seed=7))
    unseeded = greedy(sampling=wire.Sampling(temperature=1, top_p=1))
    prompt = user("Tell me a story", effort="high")

    async def said(request: wire.GenerateRequest) -> list[int]:
        return (await triton.generate(prompt, request)).token_ids

    assert await said(seeded) == await said(seeded)
    assert await said(greedy()) == await said(greedy())
    assert await said(unseeded) != await said(unseeded)


async def test_a_declared_function_is_called(triton: TritonClient, tokenizer: Tokenizer) -> None:
    prompt = harmony(("developer", WEATHER), ("user", "Will it rain?"))

    answer = await triton.generate(prompt, greedy())

    assert "to=functions.get_weather <|constrain|>json<|message|>{" in tokenizer.decode(
        answer.token_ids
    )
    assert answer.finished.stop_token_id == vocabulary.CALL


async def test_max_tokens_cuts(triton: TritonClient) -> None:
    answer = await triton.generate(user("Hi"), greedy(max_tokens=7))

    assert len(answer.token_ids) == 7
    assert answer.finished.reason == wire.Finished.LENGTH
    assert not answer.finished.HasField("stop_token_id")


async def test_the_context_cuts_too(triton: TritonClient) -> None:
    prompt = list(range(1000, 1000 + 4090))

    answer = await triton.generate(prompt, greedy())

    assert len(answer.token_ids) == 6
    assert answer.finished.reason == wire.Finished.LENGTH


async def test_a_second_turn_finds_its_prefix_cached(triton: TritonClient) -> None:
    prompt = user("word " * 100)

    first = await triton.generate(prompt, greedy(cache_salt="cached"))
    second = await triton.generate(prompt, greedy(cache_salt="cached"))
    stranger = await triton.generate(prompt, greedy(cache_salt="another"))

    assert first.chunks[0].started.cached_tokens == 0
    assert second.chunks[0].started.cached_tokens >= 96
    assert second.finished.cached_tokens == second.chunks[0].started.cached_tokens
    assert stranger.chunks[0].started.cached_tokens == 0


@pytest.mark.parametrize(
    ("prompt", "request_", "code", "message"),
    [
        ([], greedy(), wire.Error.INVALID_ARGUMENT, "input_ids is empty"),
        ([201_088], greedy(), wire.Error.INVALID_ARGUMENT, "input_ids: ids must be within"),
        ([1], greedy(max_tokens=0), wire.Error.INVALID_ARGUMENT, "max_tokens"),
        ([1], b"\xff\xff", wire.Error.INVALID_ARGUMENT, "not a GenerateRequest"),
        ([1] * 4096, greedy(), wire.Error.CONTEXT_TOO_LONG, "leaves no room"),
        (user("SIM: {"), greedy(), wire.Error.INVALID_ARGUMENT, "directive SIM: {"),
        ([1], greedy(deadline_unix_ms=1), wire.Error.DEADLINE, "deadline_unix_ms has passed"),
    ],
)
async def test_what_cannot_be_served_is_refused_in_band(
    triton: TritonClient,
    prompt: str | list[int],
    request_: wire.GenerateRequest | bytes,
    code: wire.Error.Code,
    message: str,
) -> None:
    answer = await triton.generate(prompt, request_)

    assert len(answer.chunks) == 1
    assert answer.error.code == code
    assert message in answer.error.message


async def test_an_engine_failure_ends_the_generation_after_its_tokens(triton: TritonClient) -> None:
    answer = await triton.generate(user('SIM: {"fail_after": 5}'), greedy())

    assert len(answer.token_ids) == 5
    assert answer.error.code == wire.Error.ENGINE_FAILED
    assert "fail_after" in answer.error.message


async def test_tokens_are_counted(triton: TritonClient) -> None:
    series = 'worker_tokens_total{kind="completion"}'
    before = await triton.metric(series)

    await triton.generate(user("Hi"), greedy(max_tokens=10))

    await triton.until(series, lambda total: total >= before + 10)
