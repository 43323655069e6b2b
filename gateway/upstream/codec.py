"""Between the gateway's words (gateway/generation.py) and the wire (wire/v1).

The comments of proto/wire/v1/generation.proto are the contract. What a worker
sends is checked against it here, and nowhere else.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from gateway.generation import (
    Chunk,
    FinishReason,
    Generation,
    OutputConstraint,
    Sampling,
    TokenLogprob,
)
from gateway.upstream.failures import AttemptFailed, ContractViolation, Reason
from gateway.upstream.kserve import ModelInferRequest, ModelStreamInferResponse
from wire.v1 import generation_pb2 as wire
from wire.vocabulary import SIZE

# Triton's BYTES element: its length, little-endian, then the bytes.
_LENGTH = struct.Struct("<I")

CANCELLATION = "cancellation"  # the id of such a request, by which Triton calls it

# A worker that says more does not know what it says.
LONGEST_RETRY_MS = 30_000

# As low as OpenAI goes: a probability of 0 has no logarithm, and JSON no infinity.
_MIN_LOGPROB = -9999.0

_REASONS = {
    wire.Error.INVALID_ARGUMENT: Reason.INVALID_ARGUMENT,
    wire.Error.OVERLOADED: Reason.OVERLOADED,
    wire.Error.DRAINING: Reason.DRAINING,
    wire.Error.CONTEXT_TOO_LONG: Reason.CONTEXT_TOO_LONG,
    wire.Error.ENGINE_FAILED: Reason.ENGINE_FAILED,
    wire.Error.DEADLINE: Reason.DEADLINE,
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where the chunks of a generation shall go: to a shared stream, under a number."""

    shared_stream: str
    number: int
    asked_there: bool = False  # it has no stream of its own


@dataclass(slots=True)  # as Chunk
class Delivered:
    """What a shared stream has brought for one generation: so many chunks, one behind the other."""

    chunks: bytes
    count: int


def encode_request(
    generation: Generation, delivery: Delivery | None = None, *, model_name: str
) -> ModelInferRequest:
    """The one message of a ModelStreamInfer stream, or one of many of a shared stream."""
    message = _generate_request(generation)
    if generation.chunk_interval_ms:
        message.delivery.interval_ms = generation.chunk_interval_ms
    if delivery is not None:
        message.delivery.shared_stream = delivery.shared_stream
        message.delivery.number = delivery.number
        message.delivery.asked_there = delivery.asked_there
    return _infer_request(generation.request_id, generation.prompt, message, model_name=model_name)


def encode_shared_stream(name: str, *, model_name: str) -> ModelInferRequest:
    """A request for a shared stream of this name."""
    message = wire.GenerateRequest(request_id=name, shared_stream=True)
    return _infer_request(name, [0], message, model_name=model_name)


def encode_cancellation(name: str, numbers: Sequence[int], *, model_name: str) -> ModelInferRequest:
    """To be sent on the shared stream of this name: nobody wants these generations any more."""
    message = wire.GenerateRequest(request_id=name, cancel=numbers)
    return _infer_request(CANCELLATION, [0], message, model_name=model_name)


def encode_ping(*, model_name: str) -> ModelInferRequest:
    """A request that generates nothing: the worker answers at once, or is not well."""
    generation = wire.GenerateRequest(request_id="ping", ping=True)
    return _infer_request("ping", [0], generation, model_name=model_name)


@dataclass(frozen=True, slots=True)
class Pong:
    """What a worker answers to a ping."""

    load: wire.WorkerLoad
    takes_requests: bool  # on shared streams


def read_pong(response: ModelStreamInferResponse | None) -> Pong | None:
    """None if Triton answered instead. Raises ContractViolation."""
    if response is None:
        raise ContractViolation("a message that cannot be read")
    if response.error_message:
        return None
    message = _message(response)
    return Pong(message.load, message.started.takes_requests)


class SharedReader:
    """Decodes the messages of one shared stream in order."""

    def __init__(self) -> None:
        self._next_seq = 0

    def receive(self, response: ModelStreamInferResponse | None) -> Sequence[wire.SharedChunk]:
        """What the next message brings, and for whom.

        Raises:
            AttemptFailed: the stream is refused, or ends with an error.
            ContractViolation: the message should not exist.
        """
        message = _message(_answer(response))
        if message.seq != self._next_seq:
            raise ContractViolation(f"message {message.seq} instead of {self._next_seq}")
        self._next_seq += 1
        if message.HasField("error"):
            raise _failure(message.error)
        if message.HasField("finished"):
            raise AttemptFailed(Reason.ENDED_EARLY, "finished by the worker")
        return message.shared


class ChunkReader:
    """Decodes the messages of one stream in order, and holds the worker to the contract."""

    def __init__(self, worker: str, generation: Generation) -> None:
        """*worker* and what was asked of it."""
        self.load: wire.WorkerLoad | None = None  # as the last message told, if it did
        # Came beside tokens, which have to be passed on first.
        self.failure: AttemptFailed | None = None
        self._worker = worker
        self._wants_logprobs = generation.top_logprobs is not None
        self._generated_tokens = generation.generated_tokens
        self._prompt_tokens = len(generation.prompt)
        self._max_tokens = generation.max_output_tokens
        self._next_seq = 0
        self._tokens = 0
        self._cached_tokens = 0
        self._ended = False

    @property
    def ended(self) -> bool:
        """`finished` or `error` was received: nothing may follow."""
        return self._ended

    def receive(self, response: ModelStreamInferResponse | Delivered | None) -> Chunk:
        """What comes next, on the generation's own stream or on a shared one.

        Raises:
            AttemptFailed: it is an error, the model's or Triton's.
            ContractViolation: it should not exist.
        """
        if isinstance(response, Delivered):
            message, count = _parsed(response.chunks), response.count
        else:
            message, count = _message(_answer(response)), 1
        self._check_order(message, count)
        # Of several that came as one the loads are mixed up.
        self.load = message.load if count == 1 and message.HasField("load") else None
        token_ids = tuple(message.token_ids)
        if token_ids and max(token_ids) >= SIZE:
            raise ContractViolation(f"the token {max(token_ids)}, of {SIZE} that there are")
        self._tokens += len(token_ids)
        if self._tokens > self._max_tokens:
            raise ContractViolation(f"{self._tokens} tokens; {self._max_tokens} were asked for")
        if message.HasField("error"):
            self._ended = True
            self.failure = _failure(message.error)
            if not token_ids:
                raise self.failure
        finish_reason = cached_tokens = None
        if message.HasField("started"):
            self._check_start(message.started)
            self._cached_tokens = cached_tokens = message.started.cached_tokens
        if message.HasField("finished"):
            finish_reason = self._finish_reason(message.finished)
            # An older worker does not repeat here what it said at the start.
            cached_tokens = max(self._cached_tokens, message.finished.cached_tokens)
        if cached_tokens is not None:
            # Input that is not cached is what is left, and billed: never less than nothing.
            cached_tokens = min(cached_tokens, self._prompt_tokens)
        logprobs = self._logprobs(message)
        age_s = message.first_token_age_ms / 1000
        return Chunk(token_ids, finish_reason, cached_tokens, self._worker, logprobs, age_s)

    def _logprobs(self, message: wire.GenerateChunk) -> tuple[TokenLogprob, ...]:
        if not self._wants_logprobs:
            return ()
        if len(message.logprobs) != len(message.token_ids):
            raise ContractViolation(
                f"{len(message.logprobs)} log probabilities for {len(message.token_ids)} tokens"
            )
        return tuple(map(_token_logprob, message.logprobs))

    def _check_order(self, message: wire.GenerateChunk, count: int) -> None:
        """*count*: so many chunks have become *message*; its seq is the last one's."""
        if self._ended:
            raise ContractViolation(f"chunk {message.seq} after the last one")
        last = self._next_seq + count - 1
        if message.seq != last:
            raise ContractViolation(f"chunk {message.seq} instead of {last}")
        # An error may come first: there is nothing to start then.
        first = self._next_seq == 0
        if message.HasField("started") != first and not message.HasField("error"):
            raise ContractViolation(f"`started` missing or repeated in chunk {message.seq}")
        self._next_seq += count

    def _check_start(self, started: wire.Started) -> None:
        if started.generated_tokens != self._generated_tokens:
            raise ContractViolation(
                f"begins behind {started.generated_tokens} generated tokens instead of"
                f" {self._generated_tokens}"
            )

    def _finish_reason(self, finished: wire.Finished) -> FinishReason:
        self._ended = True
        if finished.completion_tokens != self._tokens:
            raise ContractViolation(
                f"{self._tokens} tokens received of {finished.completion_tokens} generated"
            )
        match finished.reason:
            case wire.Finished.STOP:
                return FinishReason.STOP
            case wire.Finished.LENGTH:
                return FinishReason.MAX_OUTPUT_TOKENS
            case wire.Finished.CANCELLED:
                # We cancel by leaving the stream, and do not read on.
                raise AttemptFailed(Reason.ENDED_EARLY, "cancelled by the worker")
            case other:
                raise ContractViolation(f"finished for the unknown reason {other}")


def _infer_request(
    request_id: str,
    input_ids: Sequence[int],
    message: wire.GenerateRequest,
    *,
    model_name: str,
) -> ModelInferRequest:
    request = ModelInferRequest(model_name=model_name, id=request_id)
    request.inputs.add(name="input_ids", datatype="INT32", shape=[len(input_ids)])
    request.inputs.add(name="request", datatype="BYTES", shape=[1])
    request.outputs.add(name="chunk")
    body = message.SerializeToString()
    request.raw_input_contents.append(_int32s(input_ids))
    request.raw_input_contents.append(_LENGTH.pack(len(body)) + body)
    return request


def _generate_request(generation: Generation) -> wire.GenerateRequest:
    return wire.GenerateRequest(
        request_id=generation.request_id,
        max_tokens=generation.max_output_tokens,
        sampling=_sampling(generation.sampling),
        stop_token_ids=generation.stop_token_ids,
        cache_salt=generation.cache_salt,
        deadline_unix_ms=generation.deadline_unix_ms,
        constraint=None if generation.constraint is None else _constraint(generation.constraint),
        top_logprobs=generation.top_logprobs,
        generated_tokens=generation.generated_tokens,
    )


def _constraint(constraint: OutputConstraint) -> wire.OutputConstraint:
    return wire.OutputConstraint(
        functions=[
            wire.OutputConstraint.Function(
                name=function.name, parameters_json=function.parameters_json
            )
            for function in constraint.functions
        ],
        call_required=constraint.call_required,
        final_schema_json=constraint.final_schema_json,
    )


def _sampling(sampling: Sampling) -> wire.Sampling:
    return wire.Sampling(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=sampling.seed,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
    )


def _int32s(token_ids: Sequence[int]) -> bytes:
    values = array("i", token_ids)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def _answer(response: ModelStreamInferResponse | None) -> ModelStreamInferResponse:
    """*response*, if the model has said it."""
    if response is None:  # grpc.aio's word for what cannot be deserialized
        raise ContractViolation("a message that cannot be read")
    if response.error_message:
        raise AttemptFailed(Reason.TRITON_ERROR, response.error_message)
    return response


def _message(response: ModelStreamInferResponse) -> wire.GenerateChunk:
    contents = response.infer_response.raw_output_contents
    if len(contents) != 1:
        raise ContractViolation(f"{len(contents)} outputs instead of one `chunk`")
    element: bytes = contents[0]
    if (
        len(element) < _LENGTH.size
        or _LENGTH.unpack_from(element)[0] != len(element) - _LENGTH.size
    ):
        raise ContractViolation(f"`chunk` of {len(element)} bytes is not one BYTES element")
    return _parsed(element[_LENGTH.size :])


def _parsed(chunk: bytes) -> wire.GenerateChunk:
    try:
        return wire.GenerateChunk.FromString(chunk)
    except DecodeError as exc:
        raise ContractViolation("`chunk` is not a GenerateChunk") from exc


def _token_logprob(token: wire.TokenLogprob) -> TokenLogprob:
    return TokenLogprob(
        _bounded(token.logprob),
        tuple((other.token_id, _bounded(other.logprob)) for other in token.top),
    )


def _bounded(logprob: float) -> float:
    # In this order it makes a number of NaN as well.
    return min(max(_MIN_LOGPROB, logprob), 0.0)


def _failure(error: wire.Error) -> AttemptFailed:
    # A code that is newer than we are: the worker did fail, that is all we know.
    reason = _REASONS.get(error.code, Reason.ENGINE_FAILED)
    retry_after_ms = min(error.retry_after_ms, LONGEST_RETRY_MS) or None
    return AttemptFailed(reason, error.message, retry_after_ms=retry_after_ms)
