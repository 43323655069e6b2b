"""What the model says in the examples, as events made by the code that answers requests."""

from __future__ import annotations

from gateway.openapi.operation import Json
from gateway.quota.usage import Usage
from gateway.responses import events as ev
from gateway.responses.open_items import OpenFunctionCall, OpenItem, OpenMessage, OpenReasoning
from gateway.responses.request import CreateResponse
from gateway.responses.response import ResponseObject

MODEL = "gpt-oss-120b"
RESPONSE_ID = "0192f0c1-7d5e-7000-8000-000000000001"
CREATED_AT = 1_795_305_600


def an_answer() -> list[tuple[OpenItem, str]]:
    return [
        (OpenReasoning(RESPONSE_ID, 0, None), "Rayleigh scattering. Be brief."),
        (
            OpenMessage(RESPONSE_ID, 1, commentary=False),
            "Air scatters blue light more than red.",
        ),
    ]


def a_call() -> list[tuple[OpenItem, str]]:
    return [
        (OpenReasoning(RESPONSE_ID, 0, None), "I need the weather."),
        (OpenFunctionCall(RESPONSE_ID, 1, "get_weather"), '{"city": "Paris"}'),
    ]


def answered(request: CreateResponse, items: list[tuple[OpenItem, str]]) -> list[ev.Event]:
    """The events that answer *request* with *items* and their texts."""
    response = ResponseObject(request, response_id=RESPONSE_ID, created_at=CREATED_AT, model=MODEL)
    begun = response.in_progress()
    events: list[ev.Event] = [ev.ResponseCreated(begun), ev.ResponseInProgress(begun)]
    output: list[ev.Json] = []
    for item, text in items:
        events += [*item.open(), *item.receive(text)]
        closing, closed = item.close("completed")
        events += closing
        output.append(closed)
    usage = Usage(input_tokens=72, cached_tokens=0, output_tokens=28, reasoning_tokens=9)
    ended = response.ended("completed", output, usage, completed_at=CREATED_AT + 1)
    return [*events, ev.ResponseCompleted(ended)]


def response_of(events: list[ev.Event]) -> Json:
    """The response that they end with."""
    event = events[-1]
    assert isinstance(event, ev.ResponseCompleted)
    return event.response
