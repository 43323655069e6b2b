"""Render a conversation as harmony: the prompt of gpt-oss.

A prompt is a list of pieces: an int is a control token, a str is ordinary text.
What a caller wrote is only ever in a str, so it cannot become a control token,
however it is spelled.

Every str is tokenized by itself, and the pieces are cut where openai-harmony
cuts them; so both give the same ids, and a message has the same ids in every
turn of a conversation, which caches rely on.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import assert_never

from gateway.harmony.conversation import (
    AssistantMessage,
    Conversation,
    DeveloperMessage,
    Reasoning,
    ResponseFormat,
    ToolCall,
    ToolOutput,
    Turn,
    UserMessage,
)
from gateway.harmony.json_text import compact_json
from gateway.harmony.tools import function_name, tools_text
from wire.vocabulary import CALL, CHANNEL, CONSTRAIN, END, MESSAGE, START

Piece = int | str


def render(conversation: Conversation) -> list[Piece]:
    """The prompt, ending with `<|start|>assistant`. Never raises."""
    pieces: list[Piece] = [START, "system", MESSAGE, _system_text(conversation), END]
    if developer := _developer_texts(conversation):
        pieces += [START, "developer", MESSAGE, *developer, END]
    for turn in _turns_shown(conversation.turns):
        pieces += _render_turn(turn)
    return [*pieces, START, "assistant"]


def encode(pieces: Iterable[Piece], encode_text: Callable[[str], Sequence[int]]) -> array[int]:
    """The token ids of *pieces*. Raises what *encode_text* raises."""
    token_ids = array("i")  # 4 bytes each, not 36: a prompt is held while its answer is streamed
    for piece in pieces:
        if isinstance(piece, int):
            token_ids.append(piece)
        else:
            token_ids.extend(encode_text(piece))
    return token_ids


def _system_text(conversation: Conversation) -> str:
    text = (
        "You are ChatGPT, a large language model trained by OpenAI.\n"
        "Knowledge cutoff: 2024-06\n"
        f"Current date: {conversation.current_date}\n"
        "\n"
        f"Reasoning: {conversation.effort}\n"
        "\n"
    )
    # Without tools the word alone tempts the model to answer on that channel.
    if not conversation.tools:
        return (
            f"{text}# Valid channels: analysis, final. Channel must be included for every message."
        )
    return (
        f"{text}# Valid channels: analysis, commentary, final. "
        "Channel must be included for every message.\n"
        "Calls to these tools must go to the commentary channel: 'functions'."
    )


def _developer_texts(conversation: Conversation) -> list[str]:
    sections = []
    if conversation.instructions:
        sections.append(_instructions(conversation.instructions))
    if conversation.tools:
        sections.append(tools_text(conversation.tools))
    texts = ["\n\n".join(sections)] if sections else []
    if conversation.response_format is not None:
        blank_line = "\n\n" if sections else ""
        texts.append(blank_line + _response_format(conversation.response_format))
    return texts


def _instructions(text: str) -> str:
    return f"# Instructions\n\n{text}"


def _response_format(format_: ResponseFormat) -> str:
    description = f"// {format_.description}\n" if format_.description else ""
    schema = compact_json(format_.schema)
    return f"# Response Formats\n\n## {format_.name}\n\n{description}{schema}"


def _turns_shown(turns: Sequence[Turn]) -> Iterator[Turn]:
    """All but the reasoning behind answers that were given: harmony shows it no more."""
    answered = max(
        (
            index
            for index, turn in enumerate(turns)
            if isinstance(turn, AssistantMessage) and not turn.commentary
        ),
        default=-1,
    )
    for index, turn in enumerate(turns):
        if index > answered or not isinstance(turn, Reasoning):
            yield turn


def _render_turn(turn: Turn) -> list[Piece]:
    match turn:
        case UserMessage(text):
            return [START, "user", MESSAGE, text, END]
        case DeveloperMessage(text):
            return [START, "developer", MESSAGE, _instructions(text), END]
        case AssistantMessage(text, commentary):
            channel = "commentary" if commentary else "final"
            return [START, "assistant", CHANNEL, channel, MESSAGE, text, END]
        case Reasoning(text):
            return [START, "assistant", CHANNEL, "analysis", MESSAGE, text, END]
        case ToolCall(name, arguments):
            recipient = f" to=functions.{function_name(name)}"
            header: list[Piece] = [START, "assistant", recipient, CHANNEL, "commentary"]
            return [*header, " ", CONSTRAIN, "json", MESSAGE, arguments, CALL]
        case ToolOutput(name, output):
            author = f"functions.{function_name(name)}"
            header = [START, author, " to=assistant", CHANNEL, "commentary"]
            return [*header, MESSAGE, output, END]
        case _:
            assert_never(turn)
