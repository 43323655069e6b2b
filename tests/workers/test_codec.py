"""Requests are checked, and translated without loss."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.workers.triton_client import greedy
from wire.v1 import generation_pb2 as wire
from workers import codec
from workers.engine import (
    Alternative,
    EngineLoad,
    EngineRequest,
    Function,
    LengthReached,
    OutputConstraint,
    Sampling,
    Stopped,
    TokenLogprob,
)


def _read(
    request: wire.GenerateRequest, prompt: list[int]
) -> codec.Job | codec.Ping | codec.SharedStreamRequest | codec.Cancellation | codec.Refusal:
    return codec.read_job(prompt, request.SerializeToString(), context_tokens=100)


def test_a_request_becomes_a_job() -> None:
    request = wire.GenerateRequest(
        request_id="r-1",
        max_tokens=10,
        sampling=wire.Sampling(
            temperature=0.5, top_p=0.25, seed=-7, presence_penalty=1, frequency_penalty=-2
        ),
        stop_token_ids=[200002],
        cache_salt="salt",
        deadline_unix_ms=5,
        constraint=wire.OutputConstraint(
            functions=[wire.OutputConstraint.Function(name="now", parameters_json="{}")],
            call_required=True,
            final_schema_json='{"type": "object"}',
        ),
        top_logprobs=0,
        delivery=wire.Delivery(shared_stream="s-1", number=7, interval_ms=500, asked_there=True),
    )

    assert _read(request, [1, 2]) == codec.Job(
        EngineRequest(
            request_id="r-1",
            prompt=[1, 2],
            max_tokens=10,
            sampling=Sampling(0.5, 0.25, -7, 1, -2),
            stop_token_ids=frozenset({200002}),
            cache_salt="salt",
            constraint=OutputConstraint((Function("now", "{}"),), True, '{"type": "object"}'),
            top_logprobs=0,
        ),
        deadline_unix_ms=5,
        delivery=codec.Delivery("s-1", 7, asked_there=True, interval_ms=500),
    )


def test_max_tokens_is_cut_to_the_room_in_the_context() -> None:
    job = _read(greedy(max_tokens=1000), [1] * 60)

    assert isinstance(job, codec.Job)
    assert job.request.max_tokens == 40
    assert job.request.sampling.seed is None


def test_a_request_without_constraint_and_logprobs_has_none() -> None:
    job = _read(greedy(), [1])

    assert isinstance(job, codec.Job)
    assert (job.request.constraint, job.request.top_logprobs) == (None, None)


@pytest.mark.parametrize(
    ("names", "call_required", "complaint"),
    [
        ([], True, "constraint.call_required needs functions"),
        (["a", "a"], False, "constraint.functions[1].name is taken: a"),
        (["a", ""], False, "constraint.functions[1].name must be"),
        (["<|call|>"], False, "constraint.functions[0].name must be"),
        (["a b"], False, "constraint.functions[0].name must be"),
        (["a\n"], False, "constraint.functions[0].name must be"),
        (["a" * 129], False, "constraint.functions[0].name must be"),
    ],
)
def test_a_constraint_that_makes_no_sense_is_refused(
    names: list[str], call_required: bool, complaint: str
) -> None:
    functions = [wire.OutputConstraint.Function(name=name) for name in names]
    constraint = wire.OutputConstraint(functions=functions, call_required=call_required)

    refusal = _read(greedy(constraint=constraint), [1])

    assert isinstance(refusal, codec.Refusal)
    assert refusal.error.code == wire.Error.INVALID_ARGUMENT
    assert complaint in refusal.error.message


def test_more_than_20_alternatives_are_refused() -> None:
    refusal = _read(greedy(top_logprobs=21), [1])

    assert isinstance(refusal, codec.Refusal)
    assert refusal.error.message == "top_logprobs must be within 0 ... 20"


def test_log_probabilities_are_translated() -> None:
    logprob = TokenLogprob(-0.5, (Alternative(7, -0.5), Alternative(8, -1.0)))

    assert codec.token_logprob(logprob) == wire.TokenLogprob(
        logprob=-0.5,
        top=[
            wire.TokenLogprob.Alternative(token_id=7, logprob=-0.5),
            wire.TokenLogprob.Alternative(token_id=8, logprob=-1.0),
        ],
    )


@pytest.mark.parametrize("tokens", [100, 101])
def test_a_prompt_that_leaves_no_room_is_too_long(tokens: int) -> None:
    refusal = _read(greedy(), [1] * tokens)

    assert isinstance(refusal, codec.Refusal)
    assert refusal.error.code == wire.Error.CONTEXT_TOO_LONG
    assert refusal.request_id == "r-1"


@pytest.mark.parametrize(
    ("fields", "prompt", "named"),
    [
        ({}, [], "input_ids"),
        ({}, [-1], "input_ids"),
        ({}, [201_088], "input_ids"),
        ({"max_tokens": 0}, [1], "max_tokens"),
        ({"stop_token_ids": [201_088]}, [1], "stop_token_ids"),
        ({"sampling": wire.Sampling(temperature=-1, top_p=1)}, [1], "temperature"),
        ({"sampling": wire.Sampling(temperature=math.nan, top_p=1)}, [1], "temperature"),
        ({"sampling": wire.Sampling(temperature=math.inf, top_p=1)}, [1], "temperature"),
        ({"sampling": wire.Sampling(top_p=0)}, [1], "top_p"),
        ({"sampling": wire.Sampling(top_p=1.5)}, [1], "top_p"),
        ({"sampling": wire.Sampling(top_p=1, presence_penalty=3)}, [1], "presence_penalty"),
        ({"sampling": wire.Sampling(top_p=1, frequency_penalty=-3)}, [1], "frequency_penalty"),
    ],
)
def test_what_breaks_the_contract_is_named(
    fields: dict[str, Any], prompt: list[int], named: str
) -> None:
    refusal = _read(greedy(**fields), prompt)

    assert isinstance(refusal, codec.Refusal)
    assert refusal.error.code == wire.Error.INVALID_ARGUMENT
    assert named in refusal.error.message


def test_bytes_that_are_no_request_are_refused() -> None:
    refusal = codec.read_job([1], b"\xff", context_tokens=100)

    assert isinstance(refusal, codec.Refusal)
    assert refusal.request_id == ""
    assert refusal.error.code == wire.Error.INVALID_ARGUMENT


def test_endings_and_load_become_messages() -> None:
    assert codec.finished(Stopped(7)) == wire.Finished(reason=wire.Finished.STOP, stop_token_id=7)
    assert codec.finished(LengthReached()) == wire.Finished(reason=wire.Finished.LENGTH)
    load = codec.worker_load(EngineLoad(1, 2, 0.5), draining=True, max_running=8)
    assert load == wire.WorkerLoad(
        running=1, queued=2, kv_free_ratio=0.5, draining=True, max_running=8
    )


def test_a_ping_is_no_request_and_needs_nothing_that_one_does() -> None:
    assert _read(wire.GenerateRequest(request_id="p-1", ping=True), []) == codec.Ping("p-1")


def test_a_half_turn_is_counted_and_may_not_be_the_whole_prompt() -> None:
    request = wire.GenerateRequest(
        max_tokens=1, sampling=wire.Sampling(top_p=1), generated_tokens=2
    )

    job = _read(request, [1, 2, 3])
    refusal = _read(request, [1, 2])

    assert isinstance(job, codec.Job)
    assert job.request.generated_tokens == 2
    assert isinstance(refusal, codec.Refusal)
    assert "generated_tokens" in refusal.error.message
