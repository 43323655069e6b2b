"""The request's stations, with the ledger and the engine played by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from gateway.asgi.in_flight import GenerationInFlight, RequestsInFlight
from gateway.beside_the_loop import BesideTheLoop
from gateway.create_response import create_response
from gateway.generation import (
    UNWATCHED,
    AttemptWatch,
    Chunk,
    FinishReason,
    Generation,
    GenerationWatch,
    TokenLogprob,
    UpstreamError,
    UpstreamFailure,
)
from gateway.harmony.encoding import Encoding
from gateway.quota.estimate import UsualOutput
from gateway.quota.reservation import RateLimitState, Refused, Reservation, Stale
from gateway.quota.usage import Usage
from gateway.responses import errors
from gateway.responses.constraint import SentSchema
from gateway.responses.errors import ApiError
from gateway.responses.events import Event, OutputItemDone, OutputTextDelta, ResponseCompleted
from gateway.responses.request import CreateResponse
from gateway.responses.sealing import Seal
from gateway.responses.validation import validated
from gateway.scheduler import QueueLimits, Scheduler
from gateway.stations import Caller, ModelSettings, Stations, StoreUnavailable
from gateway.tokenizing import PromptTokenizer

NO_LIMITS = RateLimitState(None, None)
FREE = Usage(0, 0, 0, 0)


@dataclass
class Stage:
    """Ledger, settler, engine, reply and observer in one, writing down what happens."""

    chunks: Sequence[Chunk | Exception]
    answers: list[Refused | Stale] = field(default_factory=list)  # then it is admitted
    happened: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    generations: list[Generation] = field(default_factory=list)
    reserved: list[dict[str, Any]] = field(default_factory=list)
    settled: list[tuple[Usage, str]] = field(default_factory=list)
    on_event: Callable[[Event], None] = lambda event: None
    on_reserve: Callable[[], object] = lambda: None
    current: bool = True
    may_still_ask: bool = True
    store_answers: bool = True
    interruption: GenerationInFlight = field(
        default_factory=lambda: RequestsInFlight().generation()
    )

    async def check(self, project_id: str, schemas: Sequence[SentSchema]) -> None:
        self.happened.append(f"check {[schema.param for schema in schemas]}")

    async def reserve(self, **asked: Any) -> Reservation | Refused | Stale:
        self.reserved.append(asked)
        self.happened.append("reserve")
        self.on_reserve()
        await anyio.lowlevel.checkpoint()
        if self.answers:
            return self.answers.pop(0)
        return Reservation(
            lease_id=asked["lease_id"],
            project_id=asked["project_id"],
            kid=asked["kid"],
            model=asked["model"],
            input_tokens=asked["input_tokens"],
            output_tokens=asked["output_tokens"],
            max_output_tokens=asked["max_output_tokens"],
            admitted_at_ms=0,
            day=0,
            month=197001,
            rate_limits=NO_LIMITS,
        )

    async def is_current(self, project_id: str, *, kid: str, config_version: int) -> bool:
        self.happened.append("still current?")
        return self.current

    @contextmanager
    def held(self, reservation: Reservation, charged: Callable[[], Usage]) -> Iterator[None]:
        self.charged = charged
        yield

    def generation(self, max_s: float) -> GenerationInFlight:
        return self.interruption

    async def settle(self, reservation: Reservation, usage: Usage, *, status: str) -> None:
        await anyio.lowlevel.checkpoint()  # as Redis would: where cancellation can strike
        self.happened.append("settle")
        self.settled.append((usage, status))

    @asynccontextmanager
    async def generate(
        self, generation: Generation, watch: GenerationWatch
    ) -> AsyncIterator[AsyncIterator[Chunk]]:
        await anyio.lowlevel.checkpoint()
        self.generations.append(generation)
        if self.chunks and isinstance(self.chunks[0], UpstreamError):
            raise self.chunks[0]

        async def chunks() -> AsyncIterator[Chunk]:
            for chunk in self.chunks:
                await anyio.lowlevel.checkpoint()
                if isinstance(chunk, Exception):
                    raise chunk
                yield chunk

        try:
            yield chunks()
        finally:
            self.happened.append("engine left")

    async def start(self, reservation: Reservation) -> None:
        self.happened.append("start")

    async def send(self, events: Sequence[Event]) -> None:
        for event in events:
            self.events.append(event)
            self.on_event(event)
            await anyio.lowlevel.checkpoint()

    async def fail(self, error: ApiError, events: Sequence[Event]) -> None:
        self.happened.append(f"fail {error.code}")
        await self.send(events)

    def attempt(self, worker: str, *, generated_tokens: int) -> AttemptWatch:
        return UNWATCHED

    def validated(self) -> None: ...

    def rendered(self, input_tokens: int) -> None: ...

    def admitted(self, reservation: Reservation) -> None: ...

    def scheduled(self) -> None: ...

    def received(self, chunk: Chunk) -> None: ...

    def dropped(self, kind: str, count: int) -> None:
        self.happened.append(f"dropped {count} {kind}")

    def ended(self, outcome: str, usage: Usage, error: ApiError | None) -> None:
        self.happened.append(outcome if error is None else f"{outcome}: {error.code}")


@dataclass
class Places:
    """Workers with so many places."""

    count: int = 1

    def ready(self) -> bool:
        return True

    def slots(self) -> int:
        return self.count

    def room(self, in_flight: int) -> int:
        return max(0, self.count - in_flight)


async def run(
    stage: Stage, encoding: Encoding, *, scheduler: Scheduler | None = None, **fields: Any
) -> None:
    async def refreshed() -> Caller:
        stage.happened.append("refresh")
        if not stage.store_answers:
            raise StoreUnavailable("away")
        if not stage.may_still_ask:
            raise errors.invalid_key()
        return Caller("kid", "project1", 2, refreshed)

    request = validated(CreateResponse, {"model": "gpt-oss-120b", "input": "hi", **fields})
    await create_response(
        request,
        Caller("kid", "project1", 1, refreshed),
        "response-1",
        stage,
        stage,
        Stations(
            model=ModelSettings("gpt-oss-120b", 1000, 500, 60, "2026-11-22"),
            schemas=stage,
            tokenizer=PromptTokenizer(encoding, BesideTheLoop()),
            ledger=stage,
            usual_output=UsualOutput(),
            leases=stage,
            settler=stage,
            scheduler=scheduler or Scheduler(Places()),
            engine=stage,
            in_flight=stage,
            seal=Seal({1: bytes(32)}),
        ),
        body_bytes=100,
    )


@pytest.fixture
def hello(ids: Callable[[str], list[int]]) -> list[int]:
    return ids("<|channel|>final<|message|>Hello there")


async def test_the_stations_follow_each_other(encoding: Encoding, hello: list[int]) -> None:
    stage = Stage([Chunk(hello, cached_tokens=32), Chunk([200002], FinishReason.STOP)])
    await run(stage, encoding)

    assert stage.happened == ["reserve", "start", "engine left", "completed", "settle"]
    input_tokens = len(stage.generations[0].prompt)
    assert stage.settled == [(Usage(input_tokens, 32, len(hello) + 1, 0), "completed")]


@pytest.mark.parametrize(
    ("asked", "reserved", "generated"),
    [
        (None, "room for the default", 500),
        (50, 50, 50),
        (5000, "all the room there is", "all the room there is"),
    ],
)
async def test_output_is_reserved_and_limited_by_what_was_asked_and_what_fits(
    encoding: Encoding, hello: list[int], asked: int | None, reserved: Any, generated: Any
) -> None:
    stage = Stage([Chunk(hello, FinishReason.STOP)])
    await run(stage, encoding, max_output_tokens=asked)

    room = 1000 - len(stage.generations[0].prompt)
    words = {"room for the default": 500, "all the room there is": room}
    assert stage.reserved[0]["output_tokens"] == words.get(reserved, reserved)
    assert stage.generations[0].max_output_tokens == words.get(generated, generated)
    assert stage.reserved[0]["input_tokens"] == len(stage.generations[0].prompt)


async def test_an_input_that_leaves_no_room_is_refused_before_anything_is_reserved(
    encoding: Encoding,
) -> None:
    stage = Stage([])
    with pytest.raises(ApiError) as refused:
        await run(stage, encoding, input="word " * 1000)
    assert (refused.value.code, stage.happened) == ("context_length_exceeded", [])


async def test_a_client_that_leaves_pays_for_what_was_generated(
    encoding: Encoding, hello: list[int]
) -> None:
    stage = Stage([Chunk(hello), Chunk(hello, FinishReason.STOP)])
    with anyio.CancelScope() as connection:

        def leave(event: Event) -> None:
            if isinstance(event, OutputTextDelta):
                connection.cancel()

        stage.on_event = leave
        await run(stage, encoding)

    assert stage.happened == ["reserve", "start", "engine left", "cancelled", "settle"]
    assert stage.settled[0][0].output_tokens == len(hello)


async def test_a_process_that_ends_says_so_to_its_streams_and_charges_what_came(
    encoding: Encoding, hello: list[int]
) -> None:
    stage = Stage([Chunk(hello), Chunk(hello, FinishReason.STOP)])

    def end(event: Event) -> None:
        if isinstance(event, OutputTextDelta):
            stage.interruption.cut()

    stage.on_event = end
    await run(stage, encoding)

    assert [event.type for event in stage.events][-2:] == ["error", "response.failed"]
    said = ["engine left", "fail shutting_down", "failed: shutting_down", "settle"]
    assert stage.happened == ["reserve", "start", *said]
    assert stage.settled == [(stage.settled[0][0], "failed")]
    assert stage.settled[0][0].output_tokens == len(hello)


async def test_a_response_that_was_whole_when_the_process_ended_stays_whole(
    encoding: Encoding, hello: list[int]
) -> None:
    stage = Stage([Chunk(hello), Chunk([200002], FinishReason.STOP)])

    def end(event: Event) -> None:
        if isinstance(event, ResponseCompleted):
            stage.interruption.cut()

    stage.on_event = end
    await run(stage, encoding)

    assert stage.events[-1].type == "response.completed"
    assert stage.settled[0][0].output_tokens == len(hello) + 1


async def test_wherever_a_client_leaves_the_lease_is_settled_once(
    encoding: Encoding, hello: list[int]
) -> None:
    for leave_after in range(20):
        stage = Stage([Chunk(hello), Chunk([200002], FinishReason.STOP)])
        with anyio.CancelScope() as connection:

            def leave(
                event: Event,
                stage: Stage = stage,
                connection: anyio.CancelScope = connection,
                after: int = leave_after,
            ) -> None:
                if len(stage.events) > after:
                    connection.cancel()

            stage.on_event = leave
            await run(stage, encoding)
        assert stage.happened.count("settle") == 1


async def test_a_failure_before_the_first_byte_is_an_error_and_free(encoding: Encoding) -> None:
    stage = Stage([UpstreamError(UpstreamFailure.NO_WORKER, "none")])
    with pytest.raises(ApiError) as failed:
        await run(stage, encoding)

    assert failed.value.status == 503
    assert stage.happened == ["reserve", "failed: engine_overloaded", "settle"]
    assert stage.settled == [(FREE, "failed")]


async def test_a_failure_after_it_is_told_in_the_stream_and_billed_honestly(
    encoding: Encoding, hello: list[int]
) -> None:
    stage = Stage([Chunk(hello), UpstreamError(UpstreamFailure.ENGINE_FAILED, "dead")])
    await run(stage, encoding)

    assert stage.happened[-4:] == [
        *("engine left", "fail model_error", "failed: model_error"),
        "settle",
    ]
    assert [event.type for event in stage.events[-2:]] == ["error", "response.failed"]
    assert stage.settled[0][0].output_tokens == len(hello)


async def test_a_failure_before_the_first_token_is_free_even_if_the_stream_had_begun(
    encoding: Encoding,
) -> None:
    stage = Stage([Chunk(), UpstreamError(UpstreamFailure.TIMEOUT, "too late")])
    await run(stage, encoding)
    assert stage.settled == [(FREE, "failed")]


async def test_a_bug_of_ours_is_told_and_settled_too(encoding: Encoding, hello: list[int]) -> None:
    stage = Stage([Chunk(hello), RuntimeError("a bug")])
    with pytest.raises(RuntimeError):
        await run(stage, encoding)

    assert stage.happened[-3:] == ["fail internal_error", "failed: internal_error", "settle"]
    assert stage.events[-1].type == "response.failed"
    assert stage.settled[0][0].output_tokens == len(hello)


async def test_a_client_that_leaves_while_its_quota_is_reserved_leaves_no_lease(
    encoding: Encoding, hello: list[int]
) -> None:
    stage = Stage([Chunk(hello, FinishReason.STOP)])
    with anyio.CancelScope() as connection:
        stage.on_reserve = connection.cancel
        await run(stage, encoding)

    assert stage.happened == ["reserve", "cancelled", "settle"]
    assert stage.settled == [(FREE, "cancelled")]


async def test_a_refused_request_reaches_no_worker(encoding: Encoding) -> None:
    refused = Refused("tokens_per_minute", "project", 1500, too_large=False, rate_limits=NO_LIMITS)
    stage = Stage([], answers=[refused])
    with pytest.raises(ApiError) as told:
        await run(stage, encoding)

    assert (told.value.status, told.value.headers["retry-after"]) == (429, "2")
    # As long as the quota says, or up to a tenth longer.
    retry_after_ms = int(told.value.headers["retry-after-ms"])
    assert 1500 <= retry_after_ms <= 1650
    assert f"try again in {retry_after_ms / 1000:g}s" in told.value.message
    assert stage.happened == ["reserve"]


async def test_a_project_that_has_changed_is_looked_up_again(
    encoding: Encoding, hello: list[int]
) -> None:
    stage = Stage([Chunk(hello, FinishReason.STOP)], answers=[Stale()])
    await run(stage, encoding)

    assert stage.happened[:4] == ["reserve", "refresh", "reserve", "start"]
    assert [asked["config_version"] for asked in stage.reserved] == [1, 2]


async def test_a_project_that_changes_all_the_time_does_not_keep_a_request_for_ever(
    encoding: Encoding,
) -> None:
    stage = Stage([], answers=[Stale()] * 100)
    with pytest.raises(ApiError) as told:
        await run(stage, encoding)
    assert told.value.status == 503
    assert len(stage.reserved) == 3


async def test_reasoning_that_a_client_carries_sealed_comes_back_into_the_prompt(
    encoding: Encoding, ids: Callable[[str], list[int]]
) -> None:
    turn = ids("<|channel|>analysis<|message|>Need weather.<|return|>")
    first = Stage([Chunk(turn, FinishReason.STOP)])
    await run(first, encoding, include=["reasoning.encrypted_content"])
    last = first.events[-1]
    assert isinstance(last, ResponseCompleted)
    item: Any = last.response["output"]
    sealed = {"type": "reasoning", "summary": [], "encrypted_content": item[0]["encrypted_content"]}

    second = Stage([Chunk(turn, FinishReason.STOP)])
    await run(second, encoding, input=["hi", sealed])

    assert "Need weather." in encoding.decode(second.generations[0].prompt)
    added = next(event for event in second.events if isinstance(event, OutputItemDone))
    assert "encrypted_content" not in added.item


async def test_a_seal_that_was_changed_is_refused_before_anything_is_reserved(
    encoding: Encoding,
) -> None:
    stage = Stage([])
    with pytest.raises(ApiError) as refused:
        await run(
            stage, encoding, input=["hi", {"type": "reasoning", "encrypted_content": "v1.1.AA"}]
        )
    assert (refused.value.status, refused.value.code, refused.value.param) == (
        *(400, "invalid_encrypted_content"),
        "input[1].encrypted_content",
    )
    assert stage.happened == []


async def test_schemas_are_checked_before_anything_is_reserved(
    encoding: Encoding, hello: list[int]
) -> None:
    stage = Stage([Chunk(hello, FinishReason.STOP)])
    schema = {"type": "object"}
    text = {"format": {"type": "json_schema", "name": "n", "schema": schema}}
    await run(stage, encoding, text=text)

    assert stage.happened[:2] == ["check ['text.format.schema']", "reserve"]
    constraint = stage.generations[0].constraint
    assert constraint is not None
    assert constraint.final_schema_json == '{"type":"object"}'

    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"items": deep}
    stage = Stage([])
    with pytest.raises(ApiError) as refused:
        await run(stage, encoding, tools=[{"type": "function", "name": "f", "parameters": deep}])
    assert (refused.value.code, stage.happened) == ("invalid_json_schema", [])


@pytest.mark.parametrize(("stream", "interval_ms"), [(True, 0), (False, 500)])
async def test_what_nobody_reads_as_it_comes_is_brought_in_few_messages(
    encoding: Encoding, hello: list[int], stream: bool, interval_ms: int
) -> None:
    stage = Stage([Chunk(hello, FinishReason.STOP)])
    await run(stage, encoding, stream=stream)

    assert stage.generations[0].chunk_interval_ms == interval_ms


async def test_log_probabilities_are_asked_for_and_told(
    encoding: Encoding, hello: list[int]
) -> None:
    logprobs = [TokenLogprob(-0.5, ((13, -1.0),))] * len(hello)
    stage = Stage([Chunk(hello, FinishReason.STOP, logprobs=logprobs)])
    await run(stage, encoding, include=["message.output_text.logprobs"], top_logprobs=1)

    assert stage.generations[0].top_logprobs == 1
    (delta,) = [event for event in stage.events if isinstance(event, OutputTextDelta)]
    assert [entry["token"] for entry in delta.logprobs] == ["Hello", " there"]


async def test_schemas_that_a_worker_refuses_are_told_as_the_tenants_mistake(
    encoding: Encoding,
) -> None:
    refusal = UpstreamError(UpstreamFailure.CONSTRAINT_REFUSED, "grammar too large")
    stage = Stage([Chunk(), refusal])
    await run(stage, encoding, text={"format": {"type": "json_object"}})

    assert "fail invalid_json_schema" in stage.happened
    assert stage.settled == [(FREE, "failed")]


async def test_references_and_calls_that_are_dropped_are_counted(
    encoding: Encoding, ids: Callable[[str], list[int]]
) -> None:
    call = ids("<|channel|>commentary to=python<|message|>1+1<|call|>")
    stage = Stage([Chunk(call[:-1]), Chunk([200012], FinishReason.STOP)])
    await run(
        stage,
        encoding,
        input=[
            {"type": "item_reference", "id": "rs_1"},
            {"role": "user", "content": "hi"},
            {"type": "item_reference", "id": "msg_pre_1"},
        ],
    )
    assert [each for each in stage.happened if "dropped" in each] == [
        "dropped 2 item_reference",
        "dropped 1 call",
    ]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        (
            {
                "text": {
                    "format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}}
                }
            },
            "text.format.schema",
        ),
        (
            {
                "tools": [
                    {"type": "function", "name": name, "parameters": {"type": "object"}}
                    for name in "ab"
                ],
                "tool_choice": "required",
            },
            None,
        ),
    ],
    ids=["one schema", "several"],
)
async def test_a_schema_that_cannot_be_followed_is_named_if_there_is_but_one(
    encoding: Encoding, fields: dict[str, Any], param: str | None
) -> None:
    refused = UpstreamError(UpstreamFailure.CONSTRAINT_REFUSED, "takes too long to follow")
    with pytest.raises(ApiError) as told:
        await run(Stage([refused]), encoding, **fields)
    assert (told.value.status, told.value.code) == (400, "invalid_json_schema")
    assert told.value.param == param


async def test_who_waits_in_vain_is_refused_and_pays_nothing(
    encoding: Encoding, hello: list[int]
) -> None:
    stage = Stage([Chunk(hello, FinishReason.STOP)])
    scheduler = Scheduler(Places(0), QueueLimits(patience_s=0))

    with pytest.raises(ApiError) as refused:
        await run(stage, encoding, scheduler=scheduler)

    assert (refused.value.status, refused.value.code) == (429, "engine_overloaded")
    assert stage.happened == ["reserve", "failed: engine_overloaded", "settle"]
    assert stage.settled == [(FREE, "failed")]
    assert scheduler.in_service == 0


async def test_who_cannot_even_wait_is_refused_before_anything_else(encoding: Encoding) -> None:
    stage = Stage([])
    with pytest.raises(ApiError) as refused:
        await run(stage, encoding, scheduler=Scheduler(Places(), QueueLimits(per_project=0)))

    assert refused.value.code == "engine_overloaded"
    assert stage.happened == []


async def test_a_client_that_leaves_while_it_waits_pays_nothing_and_leaves_the_queue(
    encoding: Encoding,
) -> None:
    stage, scheduler = Stage([]), Scheduler(Places(0))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(run, stage, encoding, scheduler=scheduler))
        while not any(scheduler.waiting_by_tier().values()):
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()

    assert stage.happened == ["reserve", "cancelled", "settle"]
    assert stage.settled == [(FREE, "cancelled")]
    assert not any(scheduler.waiting_by_tier().values())


async def test_a_key_that_was_revoked_while_its_request_waited_is_refused_when_its_turn_comes(
    encoding: Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.create_response.ASK_AGAIN_AFTER_S", -1.0)
    stage = Stage([], current=False, may_still_ask=False)
    with pytest.raises(ApiError) as refused:
        await run(stage, encoding)
    assert refused.value.status == 401
    assert stage.happened == [
        *("reserve", "still current?", "refresh", "failed: invalid_api_key", "settle"),
    ]
    assert stage.settled == [(FREE, "failed")]


async def test_a_redis_that_goes_away_while_a_request_waited_is_no_bug_of_ours(
    encoding: Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.create_response.ASK_AGAIN_AFTER_S", -1.0)
    stage = Stage([], current=False, store_answers=False)
    with pytest.raises(StoreUnavailable):
        await run(stage, encoding)
    assert stage.happened == [
        *("reserve", "still current?", "refresh", "failed: store_unavailable", "settle"),
    ]
    assert stage.settled == [(FREE, "failed")]


async def test_a_limit_that_was_changed_while_a_request_waited_does_not_end_it(
    encoding: Encoding, hello: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.create_response.ASK_AGAIN_AFTER_S", -1.0)
    stage = Stage([Chunk(hello, FinishReason.STOP)], current=False)
    await run(stage, encoding)
    assert stage.happened[:4] == ["reserve", "still current?", "refresh", "start"]
