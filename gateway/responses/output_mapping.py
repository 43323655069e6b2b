"""Which item of a response a harmony message becomes: recipient first, channel second.

About half of the real tool calls of gpt-oss come on the analysis channel, and
some headers name a tool as if it were a content type; so a message is a call
exactly when it is addressed to one of the request's functions.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from gateway.harmony.parser import MessageStarted
from gateway.responses.request import CreateResponse

# Addressees that are no tools: the message is for the conversation itself.
_NOBODY = frozenset({None, "", "assistant", "user", "all"})


class Kind(enum.Enum):
    ANSWER = enum.auto()
    PREAMBLE = enum.auto()
    REASONING = enum.auto()
    FUNCTION_CALL = enum.auto()
    DROPPED = enum.auto()


@dataclass(frozen=True, slots=True)
class OutputMapping:
    """The part of a request that decides what its output becomes."""

    callable_functions: frozenset[str]
    text_is_json: bool

    @classmethod
    def of(cls, request: CreateResponse) -> OutputMapping:
        return cls(
            callable_functions=frozenset(tool.name for tool in request.callable_tools),
            text_is_json=request.text.format.type != "text",
        )

    def suppresses(self, message: MessageStarted) -> bool:
        """Whether it is a call that is none of the client's."""
        return (
            message.role == "assistant"
            and message.recipient not in _NOBODY
            and self.kind_of(message)[0] is Kind.REASONING
        )

    def kind_of(self, message: MessageStarted) -> tuple[Kind, str]:
        """The kind of item, and the function's name for a call."""
        if message.role != "assistant":
            return Kind.DROPPED, ""  # the model plays somebody else
        if message.recipient not in _NOBODY:
            assert message.recipient is not None
            name = message.recipient.removeprefix("functions.")
            if name in self.callable_functions:
                return Kind.FUNCTION_CALL, name
            # A call of a tool that the request does not have: python, browser,
            # or one that tool_choice does not allow. The client could not answer it.
            return Kind.REASONING, ""
        match message.channel:
            case "analysis":
                return Kind.REASONING, ""
            case "commentary":
                # Nine clients fail to parse a preamble where they expect JSON.
                return (Kind.REASONING if self.text_is_json else Kind.PREAMBLE), ""
            case _:
                return Kind.ANSWER, ""
