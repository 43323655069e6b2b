"""Constraints and log probabilities through a real Triton."""

from __future__ import annotations

import json

import jsonschema
import pytest

from tests.workers.prompts import user
from tests.workers.schemas import BOMBS, REFUSED, Schema, closed
from tests.workers.triton_client import TritonClient, greedy
from wire import vocabulary
from wire.v1 import generation_pb2 as wire
from workers.engines.simulator.tokenizer import Tokenizer

_PERSON = closed({"name": {"type": "string", "pattern": "^[A-Z][a-z]+$"}, "age": {"minimum": 18}})
_RAIN = wire.OutputConstraint.Function(
    name="rain", parameters_json=json.dumps(closed({"days": {"type": "integer", "minimum": 3}}))
)


def _final(schema: Schema | str) -> wire.OutputConstraint:
    text = schema if isinstance(schema, str) else json.dumps(schema)
    return wire.OutputConstraint(final_schema_json=text)


async def test_a_final_message_fits_its_schema(triton: TritonClient, tokenizer: Tokenizer) -> None:
    answer = await triton.generate(user("Who?"), greedy(constraint=_final(_PERSON)))

    analysis, final = tokenizer.decode(answer.token_ids).split("<|end|><|start|>assistant")
    assert analysis.startswith("<|channel|>analysis<|message|>")
    text = final.removeprefix("<|channel|>final<|message|>").removesuffix("<|return|>")
    jsonschema.validate(json.loads(text), _PERSON)
    assert answer.finished.stop_token_id == vocabulary.RETURN


async def test_a_required_call_is_made(triton: TritonClient, tokenizer: Tokenizer) -> None:
    constraint = wire.OutputConstraint(functions=[_RAIN], call_required=True)

    answer = await triton.generate(user('SIM: {"text": "No."}'), greedy(constraint=constraint))

    header, arguments = tokenizer.decode(answer.token_ids).split("<|message|>")[-2:]
    assert header.endswith("<|channel|>commentary to=functions.rain <|constrain|>json")
    assert json.loads(arguments.removesuffix("<|call|>"))["days"] >= 3
    assert answer.finished.stop_token_id == vocabulary.CALL


async def test_functions_and_a_final_schema_leave_the_choice(
    triton: TritonClient, tokenizer: Tokenizer
) -> None:
    constraint = wire.OutputConstraint(functions=[_RAIN], final_schema_json=json.dumps(_PERSON))

    async def said(text: str) -> str:
        answer = await triton.generate(user(text), greedy(constraint=constraint))
        return tokenizer.decode(answer.token_ids)

    assert "to=functions.rain" in await said("Rain?")
    assert "<|channel|>final<|message|>{" in await said('SIM: {"text": "Sunny."}')


async def test_a_schema_that_cannot_be_enforced_is_refused_in_band(triton: TritonClient) -> None:
    schema, why = REFUSED["unknown keyword"]

    answer = await triton.generate(user("Hi"), greedy(constraint=_final(schema)))

    assert answer.token_ids == []
    assert answer.error.code == wire.Error.INVALID_ARGUMENT
    assert answer.error.message == f"constraint.final_schema_json: {why}"


async def test_bombs_stall_no_other_stream(triton: TritonClient) -> None:
    # The witness says 20 tokens a second: what it has to say lasts longer than all bombs.
    witness = user('SIM: {"repeat": 3000, "tokens_per_second": 20, "reasoning": ""}')
    async with triton.stream(witness, greedy(max_tokens=3000)) as stream:
        assert await stream.receive() is not None
        for bomb in BOMBS.values():
            answer = await triton.generate(
                user("Hi"), greedy(constraint=_final(bomb), max_tokens=300)
            )
            assert answer.chunks[-1].HasField("finished") or (
                answer.error.code == wire.Error.INVALID_ARGUMENT
            )
            received = await stream.receive()
            assert received is not None
            chunk, final = received
            assert chunk.token_ids and not final


@pytest.mark.parametrize("top", [0, 20])
async def test_each_token_has_its_log_probability(triton: TritonClient, top: int) -> None:
    request = greedy(top_logprobs=top, constraint=_final(_PERSON))

    answer = await triton.generate(user("Who?"), request)
    again = await triton.generate(user("Who?"), request)

    def logprobs(chunks: list[wire.GenerateChunk]) -> list[wire.TokenLogprob]:
        return [each for chunk in chunks for each in chunk.logprobs]

    assert logprobs(answer.chunks) == logprobs(again.chunks)
    for chunk in answer.chunks:
        assert len(chunk.logprobs) == len(chunk.token_ids)
        for token_id, logprob in zip(chunk.token_ids, chunk.logprobs, strict=True):
            assert logprob.logprob <= 0
            assert len(logprob.top) == top
            assert not top or logprob.top[0].token_id == token_id  # greedy


async def test_who_does_not_ask_gets_no_log_probabilities(triton: TritonClient) -> None:
    answer = await triton.generate(user("Hi"), greedy())

    assert not any(chunk.logprobs for chunk in answer.chunks)
