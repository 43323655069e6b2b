"""From the model's messages to the events of one response.

Rule: every change of a response's state happens in this file, and every method
returns the events to send rather than sending them.

    CREATED --start--> STREAMING --finish/fail/abandon--> ENDED

A response ends exactly once. Calling finish() after fail(), or the other way
round, is a bug in the caller and raises.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import assert_never

from gateway.generation import FinishReason, TokenLogprob
from gateway.harmony.parser import (
    HarmonyEvent,
    HarmonyParser,
    MessageEnded,
    MessageStarted,
    TextDelta,
)
from gateway.quota.usage import Usage
from gateway.responses import events as ev
from gateway.responses.errors import ApiError
from gateway.responses.events import Event, Json
from gateway.responses.logprobs import TokenLogprobs
from gateway.responses.open_items import (
    ItemStatus,
    OpenFunctionCall,
    OpenItem,
    OpenMessage,
    OpenReasoning,
)
from gateway.responses.output_mapping import Kind, OutputMapping
from gateway.responses.response import ResponseObject


class State(enum.Enum):
    CREATED = enum.auto()
    STREAMING = enum.auto()
    ENDED = enum.auto()


class ResponseStream:
    """One response, from created to its end."""

    def __init__(
        self,
        response: ResponseObject,
        mapping: OutputMapping,
        parser: HarmonyParser,
        *,
        input_tokens: int,
        seal_reasoning: Callable[[str], str] | None = None,
        logprobs: TokenLogprobs | None = None,
    ) -> None:
        """
        *seal_reasoning* makes the encrypted_content of a reasoning's text, *logprobs*
        those of a message's tokens; None if the client does not want them.
        """
        self.state = State.CREATED
        self.cached_tokens = 0
        self._response = response
        self._mapping = mapping
        self._parser = parser
        self._seal_reasoning = seal_reasoning
        self._input_tokens = input_tokens
        self._logprobs = logprobs
        self._output_tokens = 0
        self._reasoning_tokens = 0
        self._output: list[Json] = []
        # The message that is being received, and the item it is written to.
        # An item is opened by the first text of its message: empty ones are left out.
        self._kind = Kind.DROPPED
        self._function_name = ""
        self._item: OpenItem | None = None
        # Calls of tools that the request does not have or allow, told as reasoning.
        self.suppressed_calls = 0

    @property
    def usage(self) -> Usage:
        """Tokens so far."""
        return Usage(
            input_tokens=self._input_tokens,
            cached_tokens=self.cached_tokens,
            output_tokens=self._output_tokens,
            reasoning_tokens=self._reasoning_tokens,
        )

    @property
    def charged(self) -> Usage:
        """What is billed if the response failed or was left: nothing before its first token."""
        return self.usage if self._output_tokens else Usage(0, 0, 0, 0)

    def start(self) -> list[Event]:
        self._move(State.CREATED, State.STREAMING)
        response = self._response.in_progress()
        return [ev.ResponseCreated(response), ev.ResponseInProgress(response)]

    def receive_tokens(
        self, token_ids: Sequence[int], logprobs: Sequence[TokenLogprob] = ()
    ) -> list[Event]:
        """The events that these tokens complete. Tokens that are not harmony are mapped too."""
        assert self.state is State.STREAMING, self.state
        self._output_tokens += len(token_ids)
        if self._logprobs is not None:
            self._logprobs.receive(token_ids, logprobs)
        return self._translated(self._parser.receive(token_ids), cut_status="completed")

    def finish(self, reason: FinishReason, *, at: int) -> list[Event]:
        """The engine has stopped. *at* is Unix time in seconds."""
        cut = reason is FinishReason.MAX_OUTPUT_TOKENS
        # An engine that strips its stop token leaves the last message open; it
        # is whole all the same.
        events = self._translated(
            self._parser.finish(), cut_status="incomplete" if cut else "completed"
        )
        self._move(State.STREAMING, State.ENDED)
        if cut:
            response = self._response.ended(
                "incomplete", self._output, self.usage, incomplete_reason=reason.value
            )
            return [*events, ev.ResponseIncomplete(response)]
        response = self._response.ended("completed", self._output, self.usage, completed_at=at)
        return [*events, ev.ResponseCompleted(response)]

    def fail(self, error: ApiError) -> list[Event]:
        """Nobody can finish this response. What was received is kept."""
        events = self._translated(self._parser.finish(), cut_status="incomplete")
        self._move(State.STREAMING, State.ENDED)
        response = self._response.ended(
            "failed",
            self._output,
            self.charged,
            error={"code": _response_error_code(error), "message": error.message},
        )
        return [
            *events,
            ev.Error(error.code, error.message, error.param, error.fields()),
            ev.ResponseFailed(response),
        ]

    def abandon(self) -> None:
        """The client has left: nobody is told, but what was received counts."""
        self._translated(self._parser.finish(), cut_status="incomplete")
        self._move(State.STREAMING, State.ENDED)

    def _translated(self, parsed: Sequence[HarmonyEvent], *, cut_status: ItemStatus) -> list[Event]:
        """*cut_status* is for a message that ends without its end token."""
        events: list[Event] = []
        for event in parsed:
            match event:
                case TextDelta():
                    events += self._add(event)
                case MessageStarted():
                    self._kind, self._function_name = self._mapping.kind_of(event)
                    self.suppressed_calls += self._mapping.suppresses(event)
                    if self._kind is Kind.FUNCTION_CALL:
                        events += self._open()
                case MessageEnded(whole=whole, token_count=token_count):
                    if self._kind is Kind.REASONING:
                        self._reasoning_tokens += token_count
                    events += self._close("completed" if whole else cut_status)
                case _:
                    assert_never(event)
        return events

    def _open(self) -> list[Event]:
        index = len(self._output)
        match self._kind:
            case Kind.ANSWER | Kind.PREAMBLE:
                self._item = OpenMessage(
                    self._response.id, index, commentary=self._kind is Kind.PREAMBLE
                )
            case Kind.REASONING:
                self._item = OpenReasoning(self._response.id, index, self._seal_reasoning)
            case Kind.FUNCTION_CALL:
                self._item = OpenFunctionCall(self._response.id, index, self._function_name)
            case Kind.DROPPED:
                return []
            case _:
                assert_never(self._kind)
        return self._item.open()

    def _add(self, delta: TextDelta) -> list[Event]:
        opened = self._open() if self._item is None else []
        if self._logprobs is not None:
            if isinstance(self._item, OpenMessage):
                logprobs = self._logprobs.take(delta.start, delta.end)
                return [*opened, *self._item.receive(delta.text, logprobs)]
            self._logprobs.forget(delta.end)
        if self._item is None:
            return []
        return [*opened, *self._item.receive(delta.text)]

    def _close(self, status: ItemStatus) -> list[Event]:
        if self._item is None:
            return []
        events, item = self._item.close(status)
        self._item = None
        self._output.append(item)
        return events

    def _move(self, expected: State, new: State) -> None:
        if self.state is not expected:
            raise AssertionError(f"{expected.name} -> {new.name} from {self.state.name}")
        self.state = new


def _response_error_code(error: ApiError) -> str:
    """The code of `response.error`, of which OpenAI's clients know only a few."""
    match error.status:
        case 429:
            return "rate_limit_exceeded"
        case 400:
            return "invalid_prompt"
        case _:
            return "server_error"
