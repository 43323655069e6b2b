"""From the events of a response to the chunks of a chat completion, as bytes.

    stream = role (content | reasoning | tool_calls)* finish_reason usage?

A chunk is an event without a name: `data:`, the JSON, a blank line. Its deltas,
joined, are the message of `completion.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from gateway.chat.completion import (
    SEPARATOR,
    completion_id,
    finish_reason_of,
    logprobs_of,
    reasoning_fields,
    tool_call,
    usage_of,
)
from gateway.chat.translation import ChatWords
from gateway.responses import events as ev
from gateway.responses.events import Event, Json


class ChunkEncoder:
    """Encodes the events of one response, in order."""

    def __init__(self, words: ChatWords, *, include_usage: bool) -> None:
        self._words = words
        self._include_usage = include_usage
        self._head: Json = {}  # known when the response is created
        self._content = _Joined()
        self._reasoning = _Joined()
        self._calls = 0

    def encode(self, event: Event) -> bytes:
        """Everything there is to say of the event; nothing for many."""
        match event:
            # The deltas first: nearly all events are one.
            case ev.OutputTextDelta(delta=text, logprobs=logprobs):
                return self._chunk({"content": self._content.add(text)}, logprobs=logprobs)
            case ev.ReasoningTextDelta(delta=text):
                return self._chunk(reasoning_fields(self._reasoning.add(text)))
            case ev.FunctionCallArgumentsDelta(delta=text):
                call = {"index": self._calls - 1, "function": {"arguments": text}}
                return self._chunk({"tool_calls": [call]})
            case ev.OutputItemAdded(item=item):
                return self._begin(item)
            case ev.ResponseCreated(response=response):
                self._head = {
                    "id": completion_id(str(response["id"])),
                    "object": "chat.completion.chunk",
                    "created": response["created_at"],
                    "model": response["model"],
                    "service_tier": response["service_tier"],
                    "system_fingerprint": None,
                }
                return self._chunk({"role": "assistant", "content": ""})
            case ev.ResponseCompleted(response=response) | ev.ResponseIncomplete(response=response):
                return self._end(response)
            case ev.Error(message=message, param=param, error=error):
                message, param = self._words.to_chat_words(message, param)
                return _frame({"error": {**error, "message": message, "param": param}})
            case _:
                return b""

    def _begin(self, item: Json) -> bytes:
        match item["type"]:
            case "message":
                self._content.next_item()
            case "reasoning":
                self._reasoning.next_item()
            case "function_call":
                self._calls += 1
                return self._chunk({"tool_calls": [{"index": self._calls - 1, **tool_call(item)}]})
        return b""

    def _end(self, response: Json) -> bytes:
        last = self._chunk({}, finish_reason=finish_reason_of(response))
        if not self._include_usage:
            return last
        usage = response["usage"]
        assert isinstance(usage, dict), "a response that ended has its usage"
        return last + _frame({**self._head, "choices": [], "usage": usage_of(usage)})

    def _chunk(
        self, delta: Json, *, logprobs: Sequence[object] = (), finish_reason: str | None = None
    ) -> bytes:
        choice = {
            "index": 0,
            "delta": delta,
            "logprobs": logprobs_of(logprobs),
            "finish_reason": finish_reason,
        }
        # With include_usage every chunk has the key, null up to the last.
        usage = {"usage": None} if self._include_usage else {}
        return _frame({**self._head, "choices": [choice], **usage})


class _Joined:
    """The texts of several items, as one text that grows."""

    def __init__(self) -> None:
        self._begun = False
        self._separator = ""

    def next_item(self) -> None:
        self._separator = SEPARATOR if self._begun else ""

    def add(self, text: str) -> str:
        text = self._separator + text
        self._begun, self._separator = True, ""
        return text


def _frame(data: Json) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(data)
