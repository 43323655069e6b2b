"""One request for a response, from a valid body to its last event.

Read this file first: it is the whole of what the gateway does, station by
station. The stations it does not do itself -- accept, authenticate, validate
the fields -- have already happened when we get here (`asgi/generation_endpoint.py`).

    3 validate the schemas -> 4 render -> 5 reserve -> 6 wait, generate -> 7 translate -> 8 settle

Events are pushed with `await reply.send(event)`, not yielded: a client that
goes away cancels this task, and the `finally` below runs at once, in this task.
An async generator would leave that moment to the garbage collector. Settling is
shielded, because an await in a cancelled scope is itself cancelled: that is how
tokens of aborted streams go unbilled elsewhere.
"""

from __future__ import annotations

import hashlib
import random
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import assert_never

import anyio

from gateway.generation import (
    FinishReason,
    Generation,
    OutputConstraint,
    Sampling,
    UpstreamError,
)
from gateway.harmony.encoding import TooManyTokens
from gateway.harmony.parser import HarmonyParser
from gateway.quota.reservation import Refused, Reservation, Stale
from gateway.responses import errors
from gateway.responses.constraint import output_constraint, schemas_to_compile
from gateway.responses.dialect import ObjectName
from gateway.responses.errors import ApiError
from gateway.responses.failures import quota_exceeded, upstream_error
from gateway.responses.logprobs import TokenLogprobs
from gateway.responses.output_mapping import OutputMapping
from gateway.responses.prompt import dropped_references, to_conversation
from gateway.responses.request import CreateResponse
from gateway.responses.response import ResponseObject
from gateway.responses.schema_limits import check_schema_limits
from gateway.responses.sealing import NONCE_BYTES
from gateway.responses.stream import ResponseStream, State
from gateway.stations import (
    Caller,
    Engine,
    Observer,
    Outcome,
    Reply,
    Schemas,
    Stations,
    StoreUnavailable,
    Tokenizer,
)
from wire.vocabulary import CALL, ENDOFTEXT, RETURN

# Who has waited longer for a place may have lost the right to it meanwhile.
ASK_AGAIN_AFTER_S = 1.0

# Long enough for a Redis failover to be noticed, short enough for a pod to stop.
SETTLE_DEADLINE_S = 5

# From the engine's deadline to ours: time to tell the client of it.
DEADLINE_MARGIN_S = 5

# How often one request follows changes of its project's configuration.
MAX_RELOADS = 2

# What nobody reads as it comes is brought in few messages, a short answer in one. Not fewer:
# what a worker has kept is lost if it fails, and not charged if the client leaves.
WHOLE_CHUNK_INTERVAL_MS = 500

# <|endoftext|> is not among harmony's own stop tokens, but gpt-oss emits it.
STOP_TOKEN_IDS = (RETURN, CALL, ENDOFTEXT)


async def create_response(
    request: CreateResponse,
    caller: Caller,
    response_id: str,
    reply: Reply,
    observer: Observer,
    stations: Stations,
    *,
    body_bytes: int,
    object_name: ObjectName = "chat.completion",
) -> None:
    """Answer *request* through *reply*; charge what was generated, however it ends.

    Raises:
        ApiError: before `reply.start`: nothing has been sent, nothing is
            charged. Afterwards a failure is told through `reply.fail`.
        StoreUnavailable: as the ledger does; nothing has been sent.
    """
    model = stations.model
    stations.scheduler.check(caller.project_id, caller.tier)

    # 3 validate: the rest of it, which takes a while.
    constraint = await _constraint(request, caller.project_id, stations.schemas)
    observer.validated()

    # 4 render: the exact size of the input is known before a GPU sees it.
    prompt = await render_prompt(
        request, caller, stations, body_bytes=body_bytes, max_tokens=model.context_tokens
    )
    room = model.context_tokens - len(prompt)
    if room < 1:
        raise errors.context_length_exceeded(str(len(prompt)), model.context_tokens)
    max_output_tokens = min(request.max_output_tokens or model.default_max_output_tokens, room)
    observer.rendered(len(prompt))
    if references := dropped_references(request):
        observer.dropped("item_reference", references)

    stream = ResponseStream(
        ResponseObject(
            request,
            response_id=response_id,
            created_at=int(time.time()),
            model=model.name,
            object_name=object_name,
            service_tier=caller.tier,
        ),
        OutputMapping.of(request),
        HarmonyParser(stations.tokenizer.token_bytes),
        input_tokens=len(prompt),
        seal_reasoning=_sealer(request, caller, stations),
        logprobs=_logprobs(request, stations.tokenizer),
    )

    # 5 reserve. Shielded: if the client left in the middle of it, Redis would hold
    # a lease that nobody here knows of. From its answer to the `try` there is no await.
    with anyio.CancelScope(shield=True):
        reservation = await _reserve(
            caller,
            response_id,
            input_tokens=len(prompt),
            max_output_tokens=max_output_tokens,
            # A client that has said how long its answer may be is not cut to what is left
            # of a budget without knowing.
            clampable=request.max_output_tokens is None,
            stations=stations,
        )
    outcome: Outcome = "cancelled"  # unless we get to know better
    error: ApiError | None = None
    # Renewed from now on, with what it would be charged if this process died.
    with stations.leases.held(reservation, lambda: stream.charged):
        try:
            observer.admitted(reservation)
            # 6 wait: until a worker has a place for it, least served project first.
            waits_since = time.monotonic()
            async with stations.scheduler.slot(
                reservation,
                served=lambda: stream.charged,
                client_patience_s=caller.patience_s,
            ):
                observer.scheduled()
                if time.monotonic() - waits_since > ASK_AGAIN_AFTER_S:
                    await _check_again(caller, stations)
                generation = Generation(
                    request_id=response_id,
                    prompt=prompt,
                    max_output_tokens=reservation.max_output_tokens,
                    sampling=_sampling(request),
                    stop_token_ids=STOP_TOKEN_IDS,
                    cache_salt=_cache_salt(caller.project_id),
                    cache_key=request.prompt_cache_key or "",
                    deadline_unix_ms=int((time.time() + model.max_duration_s) * 1000),
                    constraint=constraint,
                    top_logprobs=request.top_logprobs if request.wants_logprobs else None,
                    chunk_interval_ms=0 if request.stream else WHOLE_CHUNK_INTERVAL_MS,
                )
                # The engine keeps its own deadline; this is for a client that has stopped reading.
                max_s = model.max_duration_s + DEADLINE_MARGIN_S
                with stations.in_flight.generation(max_s) as interruption:
                    outcome = await _generate(
                        generation, stream, reservation, reply, observer, stations.engine
                    )
                if interruption.was_cut and stream.state is not State.ENDED:
                    outcome, error = "failed", errors.shutting_down()
                    if stream.state is State.CREATED:
                        raise error
                    await reply.fail(error, stream.fail(error))
        except ApiError as exc:
            # The scheduler's: it has waited for nothing, and is not charged. Or the one above.
            outcome, error = "failed", exc
            raise
        except StoreUnavailable:
            # It has waited, and nobody can say whether it may still ask.
            outcome, error = "failed", errors.store_unavailable()
            raise
        except UpstreamError as exc:
            schemas = [] if constraint is None else schemas_to_compile(request, constraint)
            error = upstream_error(exc, schemas=[schema.param for schema in schemas])
            outcome = "failed"
            if stream.state is State.CREATED:
                raise error from exc
            await reply.fail(error, stream.fail(error))
        except Exception:
            # A bug of ours: told to the client, and raised for the log.
            outcome, error = "failed", errors.internal_error()
            if stream.state is State.STREAMING:
                with suppress(ApiError):
                    await reply.fail(error, stream.fail(error))
            raise
        finally:
            # 8 settle
            if stream.state is State.STREAMING:
                stream.abandon()
            usage = stream.usage if outcome in ("completed", "incomplete") else stream.charged
            observer.ended(outcome, usage, error)
            if stream.suppressed_calls:
                observer.dropped("call", stream.suppressed_calls)
            stations.usual_output.learn(caller.project_id, usage.output_tokens)
            with anyio.move_on_after(SETTLE_DEADLINE_S, shield=True):
                await stations.settler.settle(reservation, usage, status=outcome)


async def render_prompt(
    request: CreateResponse,
    caller: Caller,
    stations: Stations,
    *,
    body_bytes: int,
    max_tokens: int,
) -> Sequence[int]:
    """The prompt of *request*: token ids. Raises ApiError for what cannot be rendered.

    *body_bytes*: how long the request was. Beyond *max_tokens* nobody counts to the end.
    """
    model = stations.model
    conversation = partial(
        to_conversation,
        request,
        model.current_date or datetime.now(UTC).strftime("%Y-%m-%d"),
        partial(stations.seal.open, project_id=caller.project_id, model=model.name),
    )
    with suppress(TooManyTokens):
        return await stations.tokenizer.render(
            conversation,
            project_id=caller.project_id,
            body_bytes=body_bytes,
            max_tokens=max_tokens,
        )
    # Not raised from TooManyTokens, whose traceback holds the text of the prompt.
    raise errors.context_length_exceeded(f"more than {max_tokens}", model.context_tokens)


def _sealer(
    request: CreateResponse, caller: Caller, stations: Stations
) -> Callable[[str], str] | None:
    """What makes encrypted_content, if the client asked for it."""
    if not request.wants_encrypted_reasoning:
        return None

    def seal(text: str) -> str:
        return stations.seal.seal(
            text,
            project_id=caller.project_id,
            model=stations.model.name,
            nonce=secrets.token_bytes(NONCE_BYTES),
        )

    return seal


async def _constraint(
    request: CreateResponse, project_id: str, schemas: Schemas
) -> OutputConstraint | None:
    """Raises ApiError when a schema is too large, or cannot be enforced."""
    check_schema_limits(request)
    constraint = output_constraint(request)
    if constraint is not None and (sent := schemas_to_compile(request, constraint)):
        await schemas.check(project_id, sent)
    return constraint


def _logprobs(request: CreateResponse, tokenizer: Tokenizer) -> TokenLogprobs | None:
    if not request.wants_logprobs:
        return None
    return TokenLogprobs(tokenizer.token_bytes, top_logprobs=request.top_logprobs)


async def _reserve(
    caller: Caller,
    response_id: str,
    *,
    input_tokens: int,
    max_output_tokens: int,
    clampable: bool,
    stations: Stations,
) -> Reservation:
    """Raises ApiError when a quota refuses, or the caller may no longer ask."""
    tier = caller.tier  # it stays what it is, whatever else of the caller changes
    for _ in range(MAX_RELOADS + 1):
        answer = await stations.ledger.reserve(
            lease_id=response_id,
            project_id=caller.project_id,
            config_version=caller.config_version,
            kid=caller.kid,
            model=stations.model.name,
            input_tokens=input_tokens,
            output_tokens=stations.usual_output.estimate(caller.project_id, max_output_tokens),
            max_output_tokens=max_output_tokens,
            clampable=clampable,
            tier=tier,
            floor=stations.scheduler.floor(caller.project_id, tier),
        )
        match answer:
            case Reservation():
                return answer
            case Refused():
                raise quota_exceeded(answer, jitter=random.random())
            case Stale():
                # Something of the project has changed since the caller was
                # authenticated: a limit perhaps, or its key was revoked.
                caller = await caller.refreshed()
            case _:
                assert_never(answer)
    raise errors.store_unavailable()  # somebody changes the project all the time


async def _check_again(caller: Caller, stations: Stations) -> None:
    """Raises ApiError if the caller may no longer ask: its key was revoked, say. And
    StoreUnavailable if something has changed, and Redis went away before it said what."""
    if not await stations.ledger.is_current(
        caller.project_id, kid=caller.kid, config_version=caller.config_version
    ):
        await caller.refreshed()


async def _generate(
    generation: Generation,
    stream: ResponseStream,
    reservation: Reservation,
    reply: Reply,
    observer: Observer,
    engine: Engine,
) -> Outcome:
    """Stations 6 and 7. Raises UpstreamError."""
    finish_reason: FinishReason | None = None
    async with engine.generate(generation, observer) as chunks:
        await reply.start(reservation)
        # At once, before the engine answers: the client learns the id.
        await reply.send(stream.start())
        # To the very end, although we know the last chunk when we see it: to leave
        # earlier is to cancel, and Triton has races with what is just ending.
        async for chunk in chunks:
            observer.received(chunk)
            if chunk.cached_tokens is not None:
                stream.cached_tokens = chunk.cached_tokens
            if events := stream.receive_tokens(chunk.token_ids, chunk.logprobs):
                await reply.send(events)
            if chunk.finish_reason is not None:
                finish_reason = chunk.finish_reason
                await reply.send(stream.finish(finish_reason, at=int(time.time())))
    assert finish_reason is not None, "the engine's chunks ended without a finish reason"
    return "completed" if finish_reason is FinishReason.STOP else "incomplete"


def _sampling(request: CreateResponse) -> Sampling:
    return Sampling(
        temperature=request.temperature,
        top_p=request.top_p,
        seed=request.seed,
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
    )


def _cache_salt(project_id: str) -> str:
    """Keeps the prefix caches of projects apart; workers do not learn who they are."""
    return hashlib.blake2b(project_id.encode(), digest_size=16, person=b"cache salt").hexdigest()
