"""The item of a response that is being written, one class a type.

Each says which events open it, add to it and close it, and what it is when it
is closed. The object that goes out with `output_item.done` is the very one
that stands in the final response: clients compare them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Literal

from gateway.responses import events as ev
from gateway.responses.events import Event, Json

ItemStatus = Literal["completed", "incomplete"]


def item_id(prefix: str, response_id: str, output_index: int) -> str:
    """`msg_` + 32 hex digits, say. The same place in the same response has the
    same id, so a generation that moves to another worker keeps its ids."""
    place = f"{prefix}/{response_id}/{output_index}".encode()
    return f"{prefix}_{hashlib.blake2b(place, digest_size=16).hexdigest()}"


class OpenMessage:
    """Text for the user: the answer, or a preamble to a call."""

    def __init__(self, response_id: str, output_index: int, *, commentary: bool) -> None:
        # The prefix tells a preamble apart when a client sends back its id.
        self._id = item_id("msg_pre" if commentary else "msg", response_id, output_index)
        self._index = output_index
        self._phase = "commentary" if commentary else "final_answer"
        self._texts: list[str] = []

    def open(self) -> list[Event]:
        return [
            ev.OutputItemAdded(self._index, self._item("in_progress", [])),
            ev.ContentPartAdded(self._id, self._index, 0, _output_text("")),
        ]

    def receive(self, text: str) -> list[Event]:
        self._texts.append(text)
        return [ev.OutputTextDelta(self._id, self._index, 0, text, [])]

    def close(self, status: ItemStatus) -> tuple[list[Event], Json]:
        text = "".join(self._texts)
        part = _output_text(text)
        item = self._item(status, [part])
        return [
            ev.OutputTextDone(self._id, self._index, 0, text, []),
            ev.ContentPartDone(self._id, self._index, 0, part),
            ev.OutputItemDone(self._index, item),
        ], item

    def _item(self, status: str, content: list[Json]) -> Json:
        return {
            "id": self._id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "phase": self._phase,
            "content": content,
        }


class OpenReasoning:
    """What the model thinks, as it is: gpt-oss writes no summaries."""

    def __init__(
        self, response_id: str, output_index: int, seal: Callable[[str], str] | None
    ) -> None:
        """*seal* makes the encrypted_content of the text, if the client wants one."""
        self._seal = seal
        self._id = item_id("rs", response_id, output_index)
        self._index = output_index
        self._texts: list[str] = []

    def open(self) -> list[Event]:
        return [
            ev.OutputItemAdded(self._index, self._item("in_progress", [])),
            ev.ContentPartAdded(self._id, self._index, 0, _reasoning_text("")),
        ]

    def receive(self, text: str) -> list[Event]:
        self._texts.append(text)
        return [ev.ReasoningTextDelta(self._id, self._index, 0, text)]

    def close(self, status: ItemStatus) -> tuple[list[Event], Json]:
        text = "".join(self._texts)
        part = _reasoning_text(text)
        item = self._item(status, [part])
        # Absent otherwise, not null: Open Responses' schema refuses a null.
        if self._seal is not None:
            item["encrypted_content"] = self._seal(text)
        return [
            ev.ReasoningTextDone(self._id, self._index, 0, text),
            ev.ContentPartDone(self._id, self._index, 0, part),
            ev.OutputItemDone(self._index, item),
        ], item

    def _item(self, status: str, content: list[Json]) -> Json:
        return {
            "id": self._id,
            "type": "reasoning",
            "status": status,
            "summary": [],
            "content": content,
        }


class OpenFunctionCall:
    """A call of one of the client's functions. Its arguments are passed on as they
    are, valid or not: the client can tell the model what is wrong with them."""

    def __init__(self, response_id: str, output_index: int, name: str) -> None:
        self._id = item_id("fc", response_id, output_index)
        self._call_id = item_id("call", response_id, output_index)
        self._index = output_index
        self._name = name
        self._texts: list[str] = []

    def open(self) -> list[Event]:
        return [ev.OutputItemAdded(self._index, self._item("in_progress", ""))]

    def receive(self, text: str) -> list[Event]:
        if not self._texts:
            # No arguments at all become {}, which may not follow white space
            # that was sent already.
            text = text.lstrip()
            if not text:
                return []
        self._texts.append(text)
        return [ev.FunctionCallArgumentsDelta(self._id, self._index, text)]

    def close(self, status: ItemStatus) -> tuple[list[Event], Json]:
        events: list[Event] = []
        if not self._texts and status == "completed":
            events = self.receive("{}")
        arguments = "".join(self._texts)
        item = self._item(status, arguments)
        return [
            *events,
            ev.FunctionCallArgumentsDone(self._id, self._index, self._name, arguments),
            ev.OutputItemDone(self._index, item),
        ], item

    def _item(self, status: str, arguments: str) -> Json:
        return {
            "id": self._id,
            "type": "function_call",
            "status": status,
            "call_id": self._call_id,
            "name": self._name,
            "arguments": arguments,
        }


OpenItem = OpenMessage | OpenReasoning | OpenFunctionCall


def _output_text(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _reasoning_text(text: str) -> Json:
    return {"type": "reasoning_text", "text": text}
