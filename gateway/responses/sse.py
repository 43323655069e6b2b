"""Server-sent events: from an event of a response to the bytes on the wire.

Each event carries, beside OpenAI's fields, the three that the spec promises on
every chunk: `id`, `model` and `output`. On events about the whole response
`output` is the response's; on the others it is one item with just what the
event adds. No client minds the extra keys.
"""

from __future__ import annotations

from typing import assert_never

import orjson

from gateway.responses import events as ev
from gateway.responses.dialect import Dialect

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"


class EventEncoder:
    """Encodes the events of one response, in order, and numbers them."""

    def __init__(self, response_id: str, model: str, dialect: Dialect) -> None:
        self._response_id = response_id
        self._model = model
        self._event_types = dialect.event_types
        self._sequence_number = 0

    def encode(self, event: ev.Event) -> bytes:
        """One event, its blank line included: to be sent in one write.

        A client that sees the blank line in a later read than the event takes
        the event for a half one.
        """
        fields = {name: getattr(event, name) for name in event.__slots__}
        type_ = self._event_types.get(event.type, event.type)
        data = orjson.dumps(
            {
                "type": type_,
                "sequence_number": self._sequence_number,
                **fields,
                "id": self._response_id,
                "model": self._model,
                "output": _output(event),
            }
        )
        self._sequence_number += 1
        return b"event: %b\ndata: %b\n\n" % (type_.encode(), data)


def _output(event: ev.Event) -> object:
    match event:
        # The deltas first: nearly all events are one.
        case ev.OutputTextDelta():
            return [_message(event.item_id, {"type": "output_text", "text": event.delta})]
        case ev.ReasoningTextDelta():
            return [_reasoning(event.item_id, {"type": "reasoning_text", "text": event.delta})]
        case ev.FunctionCallArgumentsDelta():
            return [{"id": event.item_id, "type": "function_call", "arguments": event.delta}]
        case (
            ev.ResponseCreated()
            | ev.ResponseInProgress()
            | ev.ResponseCompleted()
            | ev.ResponseIncomplete()
            | ev.ResponseFailed()
        ):
            return event.response["output"]
        case ev.OutputItemAdded() | ev.OutputItemDone():
            return [event.item]
        case ev.ContentPartAdded() | ev.ContentPartDone():
            wrap = _message if event.part["type"] == "output_text" else _reasoning
            return [wrap(event.item_id, event.part)]
        case ev.OutputTextDone():
            return [_message(event.item_id, {"type": "output_text", "text": event.text})]
        case ev.ReasoningTextDone():
            return [_reasoning(event.item_id, {"type": "reasoning_text", "text": event.text})]
        case ev.FunctionCallArgumentsDone():
            return [
                {
                    "id": event.item_id,
                    "type": "function_call",
                    "name": event.name,
                    "arguments": event.arguments,
                }
            ]
        case ev.Error():
            return []
        case _:
            assert_never(event)


def _message(item_id: str, part: ev.Json) -> ev.Json:
    return {"id": item_id, "type": "message", "role": "assistant", "content": [part]}


def _reasoning(item_id: str, part: ev.Json) -> ev.Json:
    return {"id": item_id, "type": "reasoning", "content": [part]}
