"""Grammars: from the beginning of a turn, and from its middle."""

from __future__ import annotations

import json

from workers.compiled_grammars import grammar_matcher
from workers.engine import EngineRequest, OutputConstraint
from workers.engines.trtllm.checks.bench import Bench, Check, Failed, Outcome, Passed, Skipped
from workers.grammar import turn_grammar
from workers.settings import GrammarSettings

_SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "boolean"}},
    "required": ["a"],
    "additionalProperties": False,
}
_CONSTRAINT = OutputConstraint(
    functions=(), call_required=False, final_schema_json=json.dumps(_SCHEMA)
)
_AGAINST_IT = "Write a poem about rain. Whatever you do, write no JSON."
_BEGUN = '<|channel|>final<|message|>{"'


async def _complaint(bench: Bench, request: EngineRequest) -> str | None:
    """What is wrong with what comes of *request*, if anything is."""
    heard, ending = await bench.generate(request)
    turn = [*request.begun, *heard.token_ids]
    matcher = grammar_matcher(turn_grammar(_CONSTRAINT), GrammarSettings())
    said = bench.tokenizer.decode(turn)
    if matcher.try_consume_tokens(turn[:-1]) != len(turn) - 1:
        return f"not in the grammar: {said!r}"
    try:
        value = json.loads(said.rpartition("<|message|>")[2].removesuffix("<|return|>"))
    except ValueError:
        return f"{ending}: {said!r}"
    return None if isinstance(value, dict) and list(value) == ["a"] else f"{said!r}"


async def _guided(bench: Bench) -> Outcome:
    request = bench.request(bench.prompt(_AGAINST_IT), constraint=_CONSTRAINT, max_tokens=400)
    complaint = await _complaint(bench, request)
    return Passed() if complaint is None else Failed(complaint)


async def _resumed(bench: Bench) -> Outcome:
    return await _go_on(bench, bench.prompt(_AGAINST_IT))


async def _resumed_in_chunks(bench: Bench) -> Outcome:
    prompt = bench.long_prompt(bench.configuration.layout.max_num_tokens)
    if len(prompt) + 64 > bench.configuration.context_tokens:
        return Skipped("WORKER_CONTEXT_TOKENS holds no such prompt")
    return await _go_on(bench, prompt)


async def _go_on(bench: Bench, prompt: list[int]) -> Outcome:
    begun = bench.tokenizer.encode_harmony(_BEGUN)
    for count in (len(begun), len(begun) - 1, 2):
        request = bench.request(
            [*prompt, *begun[:count]],
            constraint=_CONSTRAINT,
            generated_tokens=count,
            max_tokens=32,
        )
        if (complaint := await _complaint(bench, request)) is not None:
            return Failed(f"after {count} tokens: {complaint}")
    return Passed()


CHECKS = (
    Check(
        "guided-decoding",
        "The llguidance backend holds a whole turn to our Lark grammar, control tokens included.",
        "Do not serve structured output: it would be accepted and not enforced.",
        _guided,
    ),
    Check(
        "resumed-grammar",
        "A logits processor is pickled to every rank, asked before each token, and told all ids, "
        "the last one included.",
        "Set WORKER_TRTLLM_OVERLAP_SCHEDULER=0 and check again. Otherwise structured output whose "
        "worker dies ends as `response.failed`; everything else is not touched. Ranks must be able "
        "to import the package `workers`.",
        _resumed,
    ),
    Check(
        "resumed-in-chunks",
        "So it is when the prompt is read in several steps.",
        "As above, for long prompts alone.",
        _resumed_in_chunks,
    ),
)
