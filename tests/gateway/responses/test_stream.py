"""The stream of events a client sees, for what the model says."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.generation import FinishReason
from gateway.harmony.encoding import Encoding
from gateway.harmony.parser import HarmonyParser
from gateway.quota.usage import Usage
from gateway.responses import errors
from gateway.responses import events as ev
from gateway.responses.dialect import Dialect
from gateway.responses.output_mapping import OutputMapping
from gateway.responses.request import CreateResponse
from gateway.responses.response import ResponseObject
from gateway.responses.sse import EventEncoder
from gateway.responses.stream import ResponseStream
from gateway.responses.validation import validated

RESPONSE_ID = "0192f0c1-7d5e-7000-8000-000000000001"
TURN = (
    "<|channel|>analysis<|message|>Need weather.<|end|>"
    "<|start|>assistant<|channel|>commentary<|message|>I look.<|end|>"
    "<|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json"
    '<|message|>{"city":"Zürich 🏔"}<|call|>'
)
REQUEST = {
    "model": "gpt-oss-120b",
    "input": "hi",
    "tools": [{"type": "function", "name": "get_weather"}],
}


class Told:
    """A response that writes down what it tells."""

    def __init__(self, encoding: Encoding) -> None:
        request = validated(CreateResponse, REQUEST)
        self.stream = ResponseStream(
            ResponseObject(request, response_id=RESPONSE_ID, created_at=7, model="gpt-oss-120b"),
            OutputMapping.of(request),
            HarmonyParser(encoding.token_bytes),
            input_tokens=10,
        )
        self.events: list[ev.Event] = self.stream.start()

    def hear(self, *chunks: list[int]) -> Told:
        for chunk in chunks:
            self.events += self.stream.receive_tokens(chunk)
        return self

    def finish(self, reason: FinishReason = FinishReason.STOP) -> Told:
        self.events += self.stream.finish(reason, at=9)
        return self

    def encoded(self) -> list[dict[str, Any]]:
        encoder = EventEncoder(RESPONSE_ID, "gpt-oss-120b", Dialect())
        return [_data(encoder.encode(event)) for event in self.events]


def _data(frame: bytes) -> dict[str, Any]:
    name, data = frame.removesuffix(b"\n\n").split(b"\n")
    parsed: dict[str, Any] = json.loads(data.removeprefix(b"data: "))
    assert name == b"event: " + parsed["type"].encode()
    return parsed


def test_a_whole_turn_is_told_in_the_order_of_the_grammar(
    encoding: Encoding, ids: Callable[[str], list[int]]
) -> None:
    told = Told(encoding).hear(ids(TURN)).finish()

    assert [event.type.removeprefix("response.") for event in told.events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]


def test_the_final_response_holds_the_very_items_that_were_done(
    encoding: Encoding, ids: Callable[[str], list[int]]
) -> None:
    told = Told(encoding).hear(*[[token_id] for token_id in ids(TURN)]).finish()

    done = [event.item for event in told.events if isinstance(event, ev.OutputItemDone)]
    last = told.events[-1]
    assert isinstance(last, ev.ResponseCompleted)
    assert last.response["output"] == done
    assert [item["type"] for item in done] == ["reasoning", "message", "function_call"]


def test_every_event_has_the_keys_that_the_spec_promises(
    encoding: Encoding, ids: Callable[[str], list[int]]
) -> None:
    events = Told(encoding).hear(ids(TURN)).finish().encoded()

    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert {event["id"] for event in events} == {RESPONSE_ID}
    assert {event["model"] for event in events} == {"gpt-oss-120b"}
    assert all(isinstance(event["output"], list) for event in events)
    delta = next(event for event in events if event["type"] == "response.output_text.delta")
    assert delta["output"][0]["content"] == [{"type": "output_text", "text": delta["delta"]}]
    assert events[-1]["output"] == events[-1]["response"]["output"]
    assert not any(event.get("error") for event in events)


def test_an_item_keeps_its_id_from_added_to_completed(
    encoding: Encoding, ids: Callable[[str], list[int]]
) -> None:
    events = Told(encoding).hear(ids(TURN)).finish().encoded()

    for index, item in enumerate(events[-1]["response"]["output"]):
        of_item = [event for event in events if event.get("output_index") == index]
        item_ids = {event["item_id"] for event in of_item if "item_id" in event}
        item_ids |= {event["item"]["id"] for event in of_item if "item" in event}
        assert item_ids == {item["id"]}
    call = events[-1]["response"]["output"][2]
    assert (call["id"][:3], call["call_id"][:5], len(call["call_id"])) == ("fc_", "call_", 37)


def test_usage_counts_every_token_and_those_of_reasoning_apart(
    encoding: Encoding, ids: Callable[[str], list[int]]
) -> None:
    token_ids = ids(TURN)
    told = Told(encoding)
    told.stream.cached_tokens = 4
    told.hear(token_ids).finish()

    reasoning_tokens = len(ids("Need weather."))
    assert told.stream.usage == Usage(10, 4, len(token_ids), reasoning_tokens)
    assert told.encoded()[-1]["response"]["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": len(token_ids),
        "output_tokens_details": {"reasoning_tokens": reasoning_tokens},
        "total_tokens": 10 + len(token_ids),
    }


def test_running_out_of_tokens_closes_the_open_item_and_says_incomplete(
    encoding: Encoding, ids: Callable[[str], list[int]]
) -> None:
    cut = ids("<|channel|>final<|message|>The capital of")
    response = Told(encoding).hear(cut).finish(FinishReason.MAX_OUTPUT_TOKENS).encoded()[-1]

    assert response["type"] == "response.incomplete"
    assert response["response"]["status"] == "incomplete"
    assert response["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["response"]["completed_at"] is None
    assert response["output"][0]["status"] == "incomplete"


def test_a_failure_keeps_what_was_said_and_tells_the_error_both_ways(
    encoding: Encoding, ids: Callable[[str], list[int]]
) -> None:
    told = Told(encoding).hear(ids("<|channel|>final<|message|>The cap"))
    told.events += told.stream.fail(errors.engine_failed())
    error, failed = told.encoded()[-2:]

    assert (error["type"], error["code"]) == ("error", "model_error")
    assert error["error"]["code"] == "model_error"
    assert error["message"] == error["error"]["message"]
    assert failed["type"] == "response.failed"
    assert failed["response"]["error"] == {"code": "server_error", "message": error["message"]}
    assert failed["output"][0]["content"][0]["text"] == "The cap"


def test_a_response_that_nobody_hears_to_its_end_counts_all_it_received(
    encoding: Encoding, ids: Callable[[str], list[int]]
) -> None:
    told = Told(encoding).hear(ids("<|channel|>analysis<|message|>Need weather."))
    told.stream.abandon()

    assert told.stream.usage.reasoning_tokens == len(ids("Need weather."))


def test_a_response_ends_once(encoding: Encoding) -> None:
    told = Told(encoding)
    told.stream.fail(errors.engine_failed())
    with pytest.raises(AssertionError, match="STREAMING -> ENDED from ENDED"):
        told.stream.finish(FinishReason.STOP, at=9)


@given(cuts=st.sets(st.integers(1, 60)))
@settings(max_examples=100, deadline=None)
def test_where_the_engine_cuts_its_chunks_changes_no_text(
    encoding: Encoding, ids: Callable[[str], list[int]], cuts: set[int]
) -> None:
    token_ids = ids(TURN)
    bounds = [0, *sorted(cut for cut in cuts if cut < len(token_ids)), len(token_ids)]
    chunks = [token_ids[start:end] for start, end in itertools.pairwise(bounds)]
    in_chunks = Told(encoding).hear(*chunks).finish()

    assert _without_cuts(in_chunks) == _without_cuts(Told(encoding).hear(token_ids).finish())


def _without_cuts(told: Told) -> list[object]:
    """The events, adjacent deltas joined: where a text is cut is not part of the promise."""
    joined: list[object] = []
    for event in told.encoded():
        if not event["type"].endswith(".delta"):
            joined.append({key: event[key] for key in event if key != "sequence_number"})
        elif joined and isinstance(last := joined[-1], list) and last[0] == event["item_id"]:
            last[1] += event["delta"]
        else:
            joined.append([event["item_id"], event["delta"]])
    return joined
