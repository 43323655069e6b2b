"""Ids in, ids out: how generations are told, and how they end."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

from wire import vocabulary
from workers.engine import GREEDY, Stopped
from workers.engines.trtllm.checks.bench import Bench, Check, Failed, Outcome, Passed

_TOKENS = 24


async def _greedy(bench: Bench) -> Outcome:
    first, second = [await bench.run(bench.request(max_tokens=_TOKENS)) for _ in range(2)]
    if first.token_ids != second.token_ids:
        return Failed(f"{first.token_ids}, then {second.token_ids}")
    return Passed()


async def _reports(bench: Bench) -> Outcome:
    run = await bench.run(bench.request(max_tokens=_TOKENS))
    if run.totals != sorted(run.totals) or run.totals[-1] != _TOKENS:
        return Failed(f"token_ids had these lengths: {run.totals}")
    if len(run.totals) < _TOKENS // max(2, bench.configuration.stream_interval):
        return Failed(f"{_TOKENS} tokens in {len(run.totals)} reports")
    return Passed("" if run.same_object else "reports are objects of their own")


async def _length(bench: Bench) -> Outcome:
    for most in (1, 7):
        run = await bench.run(bench.request(max_tokens=most))
        if (len(run.token_ids), run.completion.finish_reason) != (most, "length"):
            return Failed(
                f"max_tokens={most}: {len(run.token_ids)} tokens, {run.completion.finish_reason}"
            )
    return Passed()


async def _end_id(bench: Bench) -> Outcome:
    run = await bench.run(bench.request(bench.prompt("Say hello."), max_tokens=300))
    completion = run.completion
    if completion.finish_reason != "stop" or completion.stop_reason is not None:
        return Failed(f"{completion.finish_reason}, stop_reason {completion.stop_reason!r}")
    if run.token_ids[-1:] == [vocabulary.RETURN]:
        return Passed("it is among the ids")
    return Passed("it is not among the ids: the engine adds it")


async def _stop_id(bench: Bench) -> Outcome:
    ids = (await bench.run(bench.request(max_tokens=_TOKENS))).token_ids
    # One that is generated for the first time somewhere in the middle.
    at = next((at for at in range(5, len(ids)) if ids[at] not in ids[:at]), None)
    if at is None:
        return Failed(f"no token to stop at in {ids}")
    run = await bench.run(bench.request(max_tokens=_TOKENS), stop_token_ids=[ids[at]])
    completion = run.completion
    found = f"{run.token_ids}, {completion.finish_reason}, stop_reason {completion.stop_reason!r}"
    if (completion.finish_reason, completion.stop_reason) != ("stop", ids[at]):
        return Failed(found)
    return Passed() if run.token_ids == ids[: at + 1] else Failed(found)


async def _logprobs(bench: Bench) -> Outcome:
    for top in (0, 5, 20):
        heard, _ = await bench.generate(bench.request(max_tokens=8, top_logprobs=top))
        for token_id, each in zip(heard.token_ids, heard.logprobs, strict=True):
            if len(each.top) != top:
                return Failed(f"{len(each.top)} alternatives where {top} were asked for")
            if each.logprob > 0 or not math.isfinite(each.logprob):
                return Failed(f"a log probability of {each.logprob}")
            # Greedy: what was generated is what was likeliest.
            if top and each.top[0].token_id != token_id:
                return Failed(f"{token_id} was generated, {each.top[0].token_id} is likelier")
    return Passed()


async def _seed_and_penalties(bench: Bench) -> Outcome:
    drawn = replace(GREEDY, temperature=1.0, seed=7)
    one, other = [
        (await bench.run(bench.request(max_tokens=_TOKENS, sampling=drawn))).token_ids
        for _ in range(2)
    ]
    plain = (await bench.run(bench.request(max_tokens=_TOKENS))).token_ids
    penalised = replace(GREEDY, presence_penalty=2.0, frequency_penalty=2.0)
    changed = (await bench.run(bench.request(max_tokens=_TOKENS, sampling=penalised))).token_ids
    return Passed(
        f"a seed {'repeats' if one == other else 'does not repeat'} an answer; "
        f"penalties {'change' if changed != plain else 'do not change'} one"
    )


async def _many(bench: Bench) -> Outcome:
    count = bench.configuration.max_running
    begun: set[int] = set()
    first_end_after: list[int] = []

    async def one(number: int) -> int:
        tokens = 0
        request = bench.request(max_tokens=_TOKENS)
        async for report in bench.submit(request):
            begun.add(number)
            tokens = len(report.outputs[0].token_ids)
        first_end_after.append(len(begun))
        return tokens

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(one(number)) for number in range(count)]
    lengths = {each.result() for each in running}
    if lengths != {_TOKENS}:
        return Failed(f"{_TOKENS} tokens were ordered of each, {sorted(lengths)} came")
    if count > 1 and first_end_after[0] < 2:
        return Failed("the first had ended when the second began")
    return Passed(f"{first_end_after[0]} of {count} had begun when the first ended")


async def _engine(bench: Bench) -> Outcome:
    heard, ending = await bench.generate(bench.request(bench.prompt("Say hello."), max_tokens=300))
    said = bench.tokenizer.decode(heard.token_ids)
    if ending != Stopped(vocabulary.RETURN) or "<|channel|>final<|message|>" not in said:
        return Failed(f"{ending}: {said!r}")
    return Passed(f"{said!r}")


CHECKS = (
    Check(
        "greedy-repeats",
        "Temperature 0 gives the same tokens twice.",
        "Answers at temperature 0 vary; the checks `reports`, `stop-id` may fail for no reason.",
        _greedy,
    ),
    Check(
        "reports",
        "Each step is reported, and outputs[0].token_ids holds all ids so far.",
        "Do not serve: the engine would lose or repeat tokens; see outputs.py.",
        _reports,
    ),
    Check(
        "length",
        "max_tokens is kept to the token, and the reason is `length`.",
        "Bills would be wrong; the engine fails generations that are too long.",
        _length,
    ),
    Check(
        "end-id",
        "A turn ends at <|return|> as `stop`, without a stop_reason.",
        "Generations would run on to their limit, or be failed; see outputs.py.",
        _end_id,
    ),
    Check(
        "stop-id",
        "A stop id ends the turn, is kept by include_stop_str_in_output, and is the stop_reason.",
        "Function calls end as failures. If only the id is cut off, the engine puts it back.",
        _stop_id,
    ),
    Check(
        "logprobs",
        "There is a log probability for each token, its own among them, and up to 20 others.",
        "Requests with top_logprobs fail: tell the tenants.",
        _logprobs,
    ),
    Check(
        "seed-and-penalties",
        "A seed and penalties are taken without an error. (1.2.1 ignores them.)",
        "Requests with them are refused: tell the tenants, or leave them out in sampling.py.",
        _seed_and_penalties,
    ),
    Check(
        "many-at-once",
        "Generations run side by side.",
        "Throughput is that of one: look at max_batch_size and the memory.",
        _many,
    ),
    Check(
        "whole-turn",
        "The model answers in harmony, through the engine.",
        "Do not serve: the gateway could not read it.",
        _engine,
    ),
)
