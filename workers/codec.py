"""Between wire.v1 messages and the worker's own words. Pure.

What the contract (proto/wire/v1/generation.proto) demands of a request is checked
here, before an engine sees it: real engines have died of bad parameters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from google.protobuf.message import DecodeError

from wire import vocabulary
from wire.v1 import generation_pb2 as wire
from workers.engine import (
    Ending,
    EngineLoad,
    EngineRequest,
    Function,
    LengthReached,
    OutputConstraint,
    Sampling,
    Stopped,
    TokenLogprob,
)

_MAX_TOP_LOGPROBS = 20
# What a header of harmony can carry, and what the API allows.
_FUNCTION_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")


@dataclass(frozen=True, slots=True)
class Delivery:
    """How the chunks of a generation are wanted."""

    shared_stream: str = ""  # where, under this number; "" = on its own
    number: int = 0
    asked_there: bool = False  # it has no stream of its own
    interval_ms: int = 0  # from chunk to chunk it may be so long


@dataclass(frozen=True, slots=True)
class Job:
    """A request that can be served."""

    request: EngineRequest
    deadline_unix_ms: int  # 0 = none
    delivery: Delivery = Delivery()

    @property
    def request_id(self) -> str:
        return self.request.request_id

    @property
    def generated_tokens(self) -> int:
        return self.request.generated_tokens


@dataclass(frozen=True, slots=True)
class Ping:
    """A gateway asks whether we are alive."""

    request_id: str
    generated_tokens: int = 0


@dataclass(frozen=True, slots=True)
class SharedStreamRequest:
    """A gateway wants a stream on which it hears of many generations."""

    request_id: str
    generated_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A gateway does not want these of its generations any more."""

    shared_stream: str  # on which they, and this, were asked
    numbers: Sequence[int]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that cannot, and what the gateway is told."""

    request_id: str  # "" when it could not be read
    error: wire.Error
    delivery: Delivery = Delivery()
    generated_tokens: int = 0


def read_job(
    prompt: Sequence[int], blob: bytes, *, context_tokens: int
) -> Job | Ping | SharedStreamRequest | Cancellation | Refusal:
    """Check one request. max_tokens is cut to what the context leaves room for.

    Args:
        prompt: the tensor input_ids.
        blob: the tensor request, a serialised GenerateRequest.
    """
    message = wire.GenerateRequest()
    try:
        message.ParseFromString(blob)
    except DecodeError as exc:
        return _invalid("", f"request is not a GenerateRequest: {exc}")
    if message.ping:
        return Ping(message.request_id)
    if message.shared_stream and not message.request_id:
        return _invalid("", "a shared stream has a request_id")
    if message.shared_stream:
        return SharedStreamRequest(message.request_id)
    if message.cancel:
        return Cancellation(message.request_id, message.cancel)
    delivery = Delivery(
        message.delivery.shared_stream,
        message.delivery.number,
        message.delivery.asked_there,
        message.delivery.interval_ms,
    )
    if complaint := _complaint(prompt, message):
        return _invalid(message.request_id, complaint, delivery)
    room = context_tokens - len(prompt)
    if room < 1:
        text = f"a prompt of {len(prompt)} tokens leaves no room in a context of {context_tokens}"
        return Refusal(message.request_id, error(wire.Error.CONTEXT_TOO_LONG, text), delivery)
    request = EngineRequest(
        request_id=message.request_id,
        prompt=prompt,
        max_tokens=min(message.max_tokens, room),
        sampling=_sampling(message.sampling),
        stop_token_ids=frozenset(message.stop_token_ids),
        cache_salt=message.cache_salt,
        constraint=_constraint(message.constraint) if message.HasField("constraint") else None,
        top_logprobs=message.top_logprobs if message.HasField("top_logprobs") else None,
        generated_tokens=message.generated_tokens,
    )
    return Job(request, message.deadline_unix_ms, delivery)


def error(code: wire.Error.Code, message: str, *, retry_after_ms: int = 0) -> wire.Error:
    return wire.Error(code=code, message=message, retry_after_ms=retry_after_ms)


def finished(ending: Ending) -> wire.Finished:
    match ending:
        case Stopped(token_id):
            return wire.Finished(reason=wire.Finished.STOP, stop_token_id=token_id)
        case LengthReached():
            return wire.Finished(reason=wire.Finished.LENGTH)
        case _:
            assert_never(ending)


def token_logprob(logprob: TokenLogprob) -> wire.TokenLogprob:
    return wire.TokenLogprob(
        logprob=logprob.logprob,
        top=[
            wire.TokenLogprob.Alternative(token_id=each.token_id, logprob=each.logprob)
            for each in logprob.top
        ],
    )


def worker_load(load: EngineLoad, *, draining: bool, max_running: int) -> wire.WorkerLoad:
    return wire.WorkerLoad(
        running=load.running,
        queued=load.queued,
        kv_free_ratio=load.kv_free_ratio,
        draining=draining,
        max_running=max_running,
    )


def _invalid(request_id: str, message: str, delivery: Delivery = Delivery()) -> Refusal:
    return Refusal(request_id, error(wire.Error.INVALID_ARGUMENT, message), delivery)


def _complaint(prompt: Sequence[int], message: wire.GenerateRequest) -> str | None:
    """What in the request breaks the contract; None if nothing does."""
    sampling = message.sampling
    if not prompt:
        return "input_ids is empty"
    if min(prompt) < 0 or max(prompt) >= vocabulary.SIZE:
        return f"input_ids: ids must be within 0 ... {vocabulary.SIZE - 1}"
    if message.generated_tokens >= len(prompt):
        return "generated_tokens must be fewer than input_ids"
    if message.max_tokens < 1:
        return "max_tokens must be at least 1"
    if any(token_id >= vocabulary.SIZE for token_id in message.stop_token_ids):
        return f"stop_token_ids: ids must be within 0 ... {vocabulary.SIZE - 1}"
    # Written so that NaN is refused too.
    if not 0 <= sampling.temperature < float("inf"):
        return "sampling.temperature must be at least 0"
    if not 0 < sampling.top_p <= 1:
        return "sampling.top_p must be in (0, 1]"
    for name in ("presence_penalty", "frequency_penalty"):
        if not -2 <= getattr(sampling, name) <= 2:
            return f"sampling.{name} must be within -2 ... 2"
    if message.top_logprobs > _MAX_TOP_LOGPROBS:
        return f"top_logprobs must be within 0 ... {_MAX_TOP_LOGPROBS}"
    return _constraint_complaint(message.constraint)


def _constraint_complaint(constraint: wire.OutputConstraint) -> str | None:
    """What is wrong about it besides its schemas: those are judged by who compiles them."""
    if constraint.call_required and not constraint.functions:
        return "constraint.call_required needs functions"
    names = set()
    for index, function in enumerate(constraint.functions):
        if not _FUNCTION_NAME.fullmatch(function.name):
            return (
                f"constraint.functions[{index}].name must be"
                " 1 to 128 of a-z, A-Z, 0-9, underscore and hyphen"
            )
        if function.name in names:
            return f"constraint.functions[{index}].name is taken: {function.name}"
        names.add(function.name)
    return None


def _constraint(message: wire.OutputConstraint) -> OutputConstraint:
    return OutputConstraint(
        functions=tuple(Function(each.name, each.parameters_json) for each in message.functions),
        call_required=message.call_required,
        final_schema_json=message.final_schema_json,
    )


def _sampling(message: wire.Sampling) -> Sampling:
    return Sampling(
        temperature=message.temperature,
        top_p=message.top_p,
        seed=message.seed if message.HasField("seed") else None,
        presence_penalty=message.presence_penalty,
        frequency_penalty=message.frequency_penalty,
    )
