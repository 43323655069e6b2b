"""The completion and the chunks that a client sees, for what the model says."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.chat.chunks import ChunkEncoder
from gateway.chat.completion import completion_of
from gateway.chat.translation import chat_of
from gateway.generation import FinishReason
from gateway.harmony.encoding import Encoding
from gateway.harmony.parser import HarmonyParser
from gateway.responses import errors
from gateway.responses import events as ev
from gateway.responses.output_mapping import OutputMapping
from gateway.responses.response import ResponseObject
from gateway.responses.stream import ResponseStream

RESPONSE_ID = "0192f0c1-7d5e-7000-8000-000000000001"
ID = "chatcmpl-0192f0c17d5e70008000000000000001"
ANSWER = (
    "<|channel|>analysis<|message|>Think.<|end|>"
    "<|start|>assistant<|channel|>final<|message|>It is blue.<|return|>"
)
TURN = (
    "<|channel|>analysis<|message|>Need weather.<|end|>"
    "<|start|>assistant<|channel|>analysis<|message|>Both cities.<|end|>"
    "<|start|>assistant<|channel|>commentary<|message|>I look.<|end|>"
    "<|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json"
    '<|message|>{"city":"Zürich 🏔"}<|call|>'
)
BODY: dict[str, Any] = {
    "model": "gpt-oss-120b",
    "messages": [{"role": "user", "content": "hi"}],
    "tools": [{"type": "function", "function": {"name": "get_weather"}}],
}


class Told:
    """A chat that writes down what it is answered, in both ways."""

    def __init__(self, encoding: Encoding, **fields: Any) -> None:
        self.chat = chat_of({**BODY, **fields})
        request = self.chat.request
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

    def chunks(self) -> list[dict[str, Any]]:
        encoder = ChunkEncoder(self.chat.words, include_usage=self.chat.include_usage)
        data = b"".join(encoder.encode(event) for event in self.events)
        *frames, rest = data.decode().split("\n\n")
        assert rest == ""
        return [json.loads(frame.removeprefix("data: ")) for frame in frames]

    def deltas(self) -> list[dict[str, Any]]:
        return [chunk["choices"][0]["delta"] for chunk in self.chunks()]

    def completion(self) -> dict[str, Any]:
        last = self.events[-1]
        assert isinstance(last, ev.ResponseCompleted | ev.ResponseIncomplete)
        return completion_of(last.response)

    def message(self) -> dict[str, Any]:
        message: dict[str, Any] = self.completion()["choices"][0]["message"]
        return message


def joined(deltas: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that a client makes of the deltas."""
    message: dict[str, Any] = {}
    for delta in deltas:
        for name, value in delta.items():
            if name == "tool_calls":
                calls = message.setdefault("tool_calls", [])
                for call in value:
                    if call["index"] == len(calls):
                        calls.append({key: call[key] for key in ("id", "type", "function")})
                    else:
                        calls[call["index"]]["function"]["arguments"] += call["function"][
                            "arguments"
                        ]
            else:
                message[name] = message.get(name, "") + value
    return message


def test_a_plain_answer_is_told_whole(encoding: Encoding, ids: Callable[[str], list[int]]) -> None:
    token_ids = ids(ANSWER)
    told = Told(encoding)
    told.stream.cached_tokens = 4
    told.hear(token_ids).finish()

    assert told.completion() == {
        "id": ID,
        "object": "chat.completion",
        "created": 7,
        "model": "gpt-oss-120b",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "It is blue.",
                    "refusal": None,
                    "annotations": [],
                    "reasoning_content": "Think.",
                    "reasoning": "Think.",
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": len(token_ids),
            "total_tokens": 10 + len(token_ids),
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": len(ids("Think."))},
        },
        "service_tier": "default",
        "system_fingerprint": None,
    }
    ChatCompletion.model_validate(told.completion(), strict=True)


def test_a_call_is_told_with_what_was_thought_and_said_before_it(
    encoding: Encoding, ids: Callable[[str], list[int]]
) -> None:
    told = Told(encoding).hear(ids(TURN)).finish()

    message = told.message()
    assert message["content"] == "I look."
    assert message["reasoning"] == "Need weather.\n\nBoth cities."
    (call,) = message["tool_calls"]
    assert call["function"] == {"name": "get_weather", "arguments": '{"city":"Zürich 🏔"}'}
    assert told.chunks()[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_stream_is_told_chunk_by_chunk(
    encoding: Encoding, ids: Callable[[str], list[int]]
) -> None:
    told = Told(encoding).hear(ids(TURN)).finish()
    call_id = told.message()["tool_calls"][0]["id"]

    assert told.deltas() == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "Need weather.", "reasoning": "Need weather."},
        {"reasoning_content": "\n\nBoth cities.", "reasoning": "\n\nBoth cities."},
        {"content": "I look."},
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": call_id,
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": ""},
                }
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":"Zürich 🏔"}'}}]},
        {},
    ]
    for chunk in told.chunks():
        ChatCompletionChunk.model_validate(chunk, strict=True)
        assert (chunk["id"], chunk["created"], chunk["model"]) == (ID, 7, "gpt-oss-120b")
        assert "usage" not in chunk


@given(cuts=st.sets(st.integers(1, 60)))
def test_the_deltas_are_the_message_wherever_the_engine_cuts(
    encoding: Encoding, ids: Callable[[str], list[int]], cuts: set[int]
) -> None:
    token_ids = ids(TURN)
    bounds = [0, *sorted(cut for cut in cuts if cut < len(token_ids)), len(token_ids)]
    told = Told(encoding).hear(*[token_ids[start:end] for start, end in itertools.pairwise(bounds)])
    told.finish()

    whole = {
        name: value
        for name, value in told.message().items()
        if name not in ("refusal", "annotations")
    }
    assert joined(told.deltas()) == whole


def test_usage_is_a_chunk_of_its_own_for_who_asks(
    encoding: Encoding, ids: Callable[[str], list[int]]
) -> None:
    told = Told(encoding, stream_options={"include_usage": True}).hear(ids(ANSWER)).finish()

    *others, last = told.chunks()
    assert all(chunk["usage"] is None for chunk in others)
    assert (last["choices"], last["usage"]) == ([], told.completion()["usage"])
    ChatCompletionChunk.model_validate(last, strict=True)


def test_running_out_of_tokens_is_told_as_length(
    encoding: Encoding, ids: Callable[[str], list[int]]
) -> None:
    cut = ids("<|channel|>analysis<|message|>Think")
    told = Told(encoding).hear(cut).finish(FinishReason.MAX_OUTPUT_TOKENS)

    assert told.chunks()[-1]["choices"][0]["finish_reason"] == "length"
    assert (told.message()["content"], told.message()["reasoning"]) == (None, "Think")


def test_a_failure_in_a_stream_is_an_error_in_the_words_of_the_chat(
    encoding: Encoding, ids: Callable[[str], list[int]]
) -> None:
    told = Told(encoding).hear(ids("<|channel|>final<|message|>The cap"))
    error = errors.context_length_exceeded("9", 8)
    told.events += told.stream.fail(error)

    *_, text, last = told.chunks()
    assert text["choices"][0]["delta"] == {"content": "The cap"}
    assert last == {"error": {**error.fields(), "param": "messages"}}


def test_log_probabilities_are_those_of_the_answer() -> None:
    entry = {"token": "ü", "logprob": -0.5, "top_logprobs": [{"token": "\ufffd", "logprob": -1.5}]}
    told = {
        "content": [
            {
                "token": "ü",
                "logprob": -0.5,
                "bytes": [195, 188],
                # Half a character: its bytes are not to be had from its text.
                "top_logprobs": [{"token": "\ufffd", "logprob": -1.5, "bytes": None}],
            }
        ],
        "refusal": None,
    }
    encoder = ChunkEncoder(chat_of(BODY).words, include_usage=False)
    data = encoder.encode(ev.OutputTextDelta("msg_1", 0, 0, "ü", [entry]))
    assert json.loads(data.removeprefix(b"data: "))["choices"][0]["logprobs"] == told

    part = {"type": "output_text", "text": "ü", "annotations": [], "logprobs": [entry]}
    response = {
        "id": RESPONSE_ID,
        "created_at": 7,
        "model": "gpt-oss-120b",
        "status": "completed",
        "output": [{"type": "message", "content": [part]}],
        "service_tier": "default",
        "usage": {
            "input_tokens": 1,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 1,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 2,
        },
    }
    choices: Any = completion_of(response)["choices"]
    assert choices[0]["logprobs"] == told
