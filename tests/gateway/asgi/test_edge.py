"""Slow clients, silent streams, and clients that leave."""

from __future__ import annotations

import json

import anyio
import anyio.lowlevel
import pytest
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.asgi.body import BodyBudget, BodyLimits, receive_json_body
from gateway.asgi.boundary import RequestBoundary, telemetry_of
from gateway.asgi.disconnect import while_connected
from gateway.asgi.in_flight import RequestsInFlight
from gateway.asgi.replies import StreamReply
from gateway.quota.reservation import RateLimitState, Reservation
from gateway.quota.usage import Usage
from gateway.responses.dialect import Dialect
from gateway.responses.errors import ApiError
from gateway.responses.sse import DONE, KEEP_ALIVE, EventEncoder
from gateway.telemetry.metrics import Metrics

RESERVATION = Reservation(
    "r", "project1", "kid", "m", 1, 1, 1, 0, 0, 197001, RateLimitState(None, None)
)


async def test_a_body_that_does_not_arrive_in_time_is_given_up() -> None:
    async def receive() -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    scope = {"type": "http", "method": "POST", "headers": []}
    with pytest.raises(ApiError) as told:
        await receive_json_body(Request(scope, receive), "p", BodyLimits(10, 0.01, BodyBudget(10)))
    assert (told.value.status, told.value.code) == (408, "request_timeout")


def test_a_project_has_a_quarter_of_the_budget_for_bodies_and_all_have_the_whole() -> None:
    budget = BodyBudget(100)
    assert budget.take("greedy", 25)
    assert not budget.take("greedy", 1)
    assert all(budget.take(project_id, 25) for project_id in "abc")
    assert not budget.take("late", 1)
    budget.give_back("a", 5)
    assert budget.take("late", 5)


async def test_a_silent_stream_is_kept_open_with_comments_until_it_ends() -> None:
    sent: list[bytes] = []
    three_comments = anyio.Event()

    async def send(message: Message) -> None:
        sent.append(message.get("body", b""))
        if sent.count(KEEP_ALIVE) == 3:
            three_comments.set()

    reply = StreamReply(send, EventEncoder("r", "m", Dialect()), {}, send_body=send)
    with reply.kept_alive(0.01):
        assert sent == []  # nothing before the answer has begun
        await reply.start(RESERVATION)
        await three_comments.wait()
        await reply.end()
        await reply.end()
        comments = sent.count(KEEP_ALIVE)
        await anyio.sleep(0.05)
    assert sent.count(DONE) == 1
    assert sent.count(KEEP_ALIVE) == comments


async def test_to_who_does_not_read_one_comment_is_enough() -> None:
    sent: list[bytes] = []

    async def send(message: Message) -> None:
        sent.append(message.get("body", b""))
        if sent[-1]:
            await anyio.sleep_forever()

    reply = StreamReply(send, EventEncoder("r", "m", Dialect()), {}, send_body=send)
    with reply.kept_alive(0.01):
        await reply.start(RESERVATION)
        await anyio.sleep(0.1)
    assert sent.count(KEEP_ALIVE) == 1


async def test_work_ends_when_its_client_leaves() -> None:
    left, ended = anyio.Event(), anyio.Event()

    async def receive() -> Message:
        await left.wait()
        return {"type": "http.disconnect"}

    async def work() -> None:
        left.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    await while_connected(receive, work)
    assert ended.is_set()


async def test_what_goes_wrong_with_the_work_is_raised_as_it_is() -> None:
    async def receive() -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    async def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await while_connected(receive, work)


async def test_a_request_that_is_cut_before_its_answer_gets_one_all_the_same() -> None:
    """uvicorn would answer for us: a plain 500."""
    requests = RequestsInFlight()
    sent: list[Message] = []

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.sleep_forever()

    async def begins(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await anyio.sleep_forever()

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    async def serve(app: ASGIApp) -> None:
        boundary = RequestBoundary(app, requests, Metrics(CollectorRegistry(), model="m"))
        await boundary({"type": "http", "method": "POST", "headers": []}, receive, send)

    for app, expected in ((waits, 503), (begins, 200)):
        sent.clear()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve, app)
            await anyio.wait_all_tasks_blocked()
            await requests.end_all(deadline_s=5)
        assert sent[0]["status"] == expected
        if app is waits:
            assert json.loads(sent[1]["body"])["error"]["code"] == "shutting_down"
            assert b"x-request-id" in dict(sent[0]["headers"])
        else:
            assert len(sent) == 1


async def test_generations_are_ended_first_and_have_a_moment_to_say_so() -> None:
    requests = RequestsInFlight()
    happened: list[str] = []

    async def one() -> None:
        with requests.one() as until_the_end, until_the_end:
            with requests.generation() as interruption:
                await anyio.sleep_forever()
            assert interruption.was_cut
            await anyio.lowlevel.checkpoint()
            happened.append("told its client")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one)
        await anyio.wait_all_tasks_blocked()
        await requests.end_all(deadline_s=5)
    assert happened == ["told its client"]
    with requests.one(), requests.generation() as late:
        await anyio.sleep_forever()
    assert late.was_cut, "one that begins when all is over"


async def test_a_generation_that_has_lasted_too_long_was_not_cut() -> None:
    with RequestsInFlight().generation(max_s=0.001) as interruption:
        await anyio.sleep_forever()
    assert not interruption.was_cut


async def test_a_client_that_does_not_read_does_not_hold_up_the_end() -> None:
    requests = RequestsInFlight()

    async def one() -> None:
        with requests.one() as until_the_end, until_the_end:
            with requests.generation():
                await anyio.sleep_forever()
            await anyio.sleep_forever()  # writes its last words

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one)
        await anyio.wait_all_tasks_blocked()
        await requests.end_all(deadline_s=5)


async def test_all_requests_can_be_ended_and_have_their_last_word() -> None:
    requests = RequestsInFlight()
    settled: list[int] = []

    async def one(number: int) -> None:
        with requests.one() as until_the_end, until_the_end:
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.lowlevel.checkpoint()
                    settled.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(one, number)
        await anyio.lowlevel.checkpoint()
        await requests.end_all(deadline_s=5)
        assert sorted(settled) == [0, 1, 2]
    await requests.end_all(deadline_s=5)  # there are none


async def test_who_waits_when_a_gateway_ends_is_counted_as_refused_by_it() -> None:
    requests, registry = RequestsInFlight(), CollectorRegistry()

    async def waits_for_a_place(scope: Scope, receive: Receive, send: Send) -> None:
        telemetry = telemetry_of(scope)
        telemetry.route = "responses"
        try:
            await anyio.sleep_forever()
        finally:  # as `create_response` does
            telemetry.ended("cancelled", Usage(0, 0, 0, 0), None)

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None: ...

    boundary = RequestBoundary(waits_for_a_place, requests, Metrics(registry, model="m"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(boundary, {"type": "http", "method": "POST", "headers": []}, receive, send)
        await anyio.wait_all_tasks_blocked()
        await requests.end_all(deadline_s=5)

    counted = {
        word: registry.get_sample_value("gw_outcomes_total", {"outcome": word})
        for word in ("overloaded", "client_cancel")
    }
    assert counted == {"overloaded": 1, "client_cancel": 0}
    told = {"route": "responses", "code": "503", "stream": "false"}
    assert registry.get_sample_value("gw_http_requests_total", told) == 1
