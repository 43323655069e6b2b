"""Log probabilities, and the promise that streamed and whole answers are the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from gateway.generation import FinishReason, TokenLogprob
from gateway.harmony.encoding import Encoding
from gateway.harmony.parser import HarmonyParser, TextDelta
from gateway.responses.dialect import Dialect
from gateway.responses.logprobs import TokenLogprobs
from gateway.responses.output_mapping import OutputMapping
from gateway.responses.request import CreateResponse
from gateway.responses.response import ResponseObject
from gateway.responses.sse import EventEncoder
from gateway.responses.stream import ResponseStream
from gateway.responses.validation import validated
from tests.gateway.responses.test_stream import RESPONSE_ID, _data

EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
FIELDS = {
    "model": "gpt-oss-120b",
    "input": "hi",
    "tools": [{"type": "function", "name": "get_weather"}],
    "logprobs": True,
    "top_logprobs": 2,
}


def told(
    encoding: Encoding,
    chunks: list[list[int]],
    reason: FinishReason = FinishReason.STOP,
    **fields: Any,
) -> list[dict[str, Any]]:
    """The events of a response; the logprob of token n is -n/8, an exact float."""
    request = validated(CreateResponse, {**FIELDS, **fields})
    stream = ResponseStream(
        ResponseObject(request, response_id=RESPONSE_ID, created_at=7, model="gpt-oss-120b"),
        OutputMapping.of(request),
        HarmonyParser(encoding.token_bytes),
        input_tokens=10,
        logprobs=TokenLogprobs(encoding.token_bytes, top_logprobs=request.top_logprobs),
    )
    encoder = EventEncoder(RESPONSE_ID, "gpt-oss-120b", Dialect())
    events = stream.start()
    position = itertools.count()
    for chunk in chunks:
        logprobs = [
            TokenLogprob(-next(position) / 8, ((token_id, -0.5), (13, -1.5), (11, -2.5)))
            for token_id in chunk
        ]
        events += stream.receive_tokens(chunk, logprobs)
    events += stream.finish(reason, at=9)
    return [_data(encoder.encode(event)) for event in events]


def test_each_token_of_a_message_has_its_entry_and_reasoning_has_none(
    encoding: Encoding, ids: Callable[[str], list[int]]
) -> None:
    thought = ids("<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant")
    answer = ids("<|channel|>final<|message|>Hi there<|return|>")
    events = told(encoding, [thought, answer])

    (delta,) = [event for event in events if event["type"] == "response.output_text.delta"]
    first = len(thought) + 3  # <|channel|>, final, <|message|>
    assert delta["logprobs"] == [
        {
            "token": text,
            "logprob": -position / 8,
            "top_logprobs": [{"token": text, "logprob": -0.5}, {"token": ".", "logprob": -1.5}],
        }
        for position, text in ((first, "Hi"), (first + 1, " there"))
    ]
    (done,) = [event for event in events if event["type"] == "response.output_text.done"]
    assert done["logprobs"] == delta["logprobs"]
    assert events[-1]["response"]["output"][1]["content"][0]["logprobs"][1] == {
        "token": " there",
        "bytes": list(b" there"),
        "logprob": -(first + 1) / 8,
        "top_logprobs": [
            {"token": " there", "bytes": list(b" there"), "logprob": -0.5},
            {"token": ".", "bytes": [46], "logprob": -1.5},
        ],
    }


def test_without_alternatives_the_list_of_them_is_empty(
    encoding: Encoding, ids: Callable[[str], list[int]]
) -> None:
    events = told(encoding, [ids("<|channel|>final<|message|>Hi")], top_logprobs=0)
    entry = events[-1]["response"]["output"][0]["content"][0]["logprobs"][0]
    assert entry["top_logprobs"] == []


def test_tokens_of_half_a_character_belong_to_the_delta_that_shows_it(encoding: Encoding) -> None:
    parser = HarmonyParser(encoding.token_bytes)
    header = [200005, *encoding.encode_text("final"), 200008]
    parser.receive(header)
    text = encoding.encode_text("ab 🏔 cd")
    deltas = [event for token_id in text for event in parser.receive([token_id])]

    spans = [
        (event.text, event.start - len(header), event.end - len(header))
        for event in deltas
        if isinstance(event, TextDelta)
    ]
    assert "".join(span[0] for span in spans) == "ab 🏔 cd"
    assert [start for _, start, _ in spans] == [0, *(end for _, _, end in spans[:-1])]
    assert spans[-1][2] == len(text)
    shown = {text: end - start for text, start, end in spans}
    assert any("🏔" in text and tokens > 1 for text, tokens in shown.items())


def test_a_message_without_header_has_its_first_token_too(
    encoding: Encoding, ids: Callable[[str], list[int]]
) -> None:
    events = told(encoding, [ids("Just an answer"), ids("<|return|>")])
    part = events[-1]["response"]["output"][0]["content"][0]
    assert b"".join(bytes(entry["bytes"]) for entry in part["logprobs"]).decode() == part["text"]
    assert part["logprobs"][0]["logprob"] == 0


WORDS = st.sampled_from(
    [
        *("Hello", " world", "🏔", "é", "\n", '{"a": 1}', "naïve 漢字 🙂", "<", "|end|>", ""),
        *("<|channel|>", "<|message|>", "<|end|>", "<|start|>", "<|call|>", "<|constrain|>"),
        *("<|channel|>final<|message|>", "<|channel|>analysis<|message|>", "<|start|>assistant"),
        "<|channel|>commentary to=functions.get_weather<|message|>",
        "<|channel|>commentary<|message|>",
    ]
)


@given(
    words=st.lists(WORDS, max_size=25),
    garbage=st.lists(st.integers(0, 201_100), max_size=5),
    cuts=st.sets(st.integers(1, 100)),
    reason=st.sampled_from(FinishReason),
    choice=st.sampled_from(["auto", "none"]),
    format_=st.sampled_from(["text", "json_object"]),
)
@settings(max_examples=150, deadline=None)
def test_the_events_of_any_turn_add_up_to_the_whole_response(
    encoding: Encoding,
    ids: Callable[[str], list[int]],
    words: list[str],
    garbage: list[int],
    cuts: set[int],
    reason: FinishReason,
    choice: str,
    format_: str,
) -> None:
    token_ids = ids("".join(words)) + garbage
    bounds = [0, *sorted(cut for cut in cuts if cut < len(token_ids)), len(token_ids)]
    chunks = [token_ids[start:end] for start, end in itertools.pairwise(bounds)]
    fields = {"tool_choice": choice, "text": {"format": {"type": format_}}}
    events = told(encoding, chunks, reason, **fields)
    whole = told(encoding, [token_ids], reason, **fields)[-1]["response"]

    assert events[-1]["response"] == whole
    assert folded(events) == whole["output"]
    for event in events:
        if "response" in event:
            event["response"]["object"] = "response"
        EVENTS.validate_python(event)


def folded(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The output that a client puts together from the events before the last."""
    items: list[dict[str, Any]] = []
    for event in events:
        match event["type"].removeprefix("response."):
            case "output_item.added":
                assert event["output_index"] == len(items)
                items.append(event["item"])
            case "content_part.added":
                items[-1]["content"].append(event["part"])
            case "output_text.delta":
                part = items[-1]["content"][-1]
                part["text"] += event["delta"]
                part["logprobs"] += event["logprobs"]
            case "reasoning_text.delta":
                items[-1]["content"][-1]["text"] += event["delta"]
            case "function_call_arguments.delta":
                items[-1]["arguments"] += event["delta"]
            case "output_text.done":
                part = items[-1]["content"][-1]
                assert (part["text"], part["logprobs"]) == (event["text"], event["logprobs"])
            case "output_item.done":
                # What only the end tells: how it ended, and the bytes of the tokens.
                for part, final in zip(
                    items[-1].get("content", ()), event["item"].get("content", ()), strict=True
                ):
                    if "logprobs" in part:
                        assert part["logprobs"] == [
                            {
                                **_told(entry),
                                "top_logprobs": [_told(other) for other in entry["top_logprobs"]],
                            }
                            for entry in final["logprobs"]
                        ]
                        part["logprobs"] = final["logprobs"]
                items[-1]["status"] = event["item"]["status"]
    return items


def _told(entry: dict[str, Any]) -> dict[str, Any]:
    return {"token": entry["token"], "logprob": entry["logprob"]}
