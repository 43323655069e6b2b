"""From a request to the conversation that harmony renders.

gpt-oss knows three voices for what the API calls items: the developer's (all
system and developer messages; harmony's own system message is ours), the
user's, and the assistant's, whose reasoning, calls and answers lie on channels
of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

from gateway.harmony.conversation import (
    AssistantMessage,
    Conversation,
    DeveloperMessage,
    Reasoning,
    ResponseFormat,
    Tool,
    ToolCall,
    ToolOutput,
    Turn,
    UserMessage,
)
from gateway.responses.errors import ApiError, invalid_request
from gateway.responses.items import (
    FunctionCallItem,
    FunctionCallOutputItem,
    ItemReference,
    MessageItem,
    ReasoningItem,
    text_of,
)
from gateway.responses.request import CreateResponse, TextFormat
from gateway.responses.sealing import CannotOpen

Item = MessageItem | ReasoningItem | FunctionCallItem | FunctionCallOutputItem | ItemReference

# Ids of items that may be referred to although nothing is stored: the model
# does without old reasoning and preambles. The AI SDK's tool loop sends both.
_DISPENSABLE = ("rs_", "msg_pre_")


def to_conversation(
    request: CreateResponse, current_date: str, open_reasoning: Callable[[str], str]
) -> Conversation:
    """The conversation of *request*.

    Args:
        current_date: YYYY-MM-DD, UTC.
        open_reasoning: the text of an encrypted_content; raises CannotOpen.

    Raises:
        ApiError: a tool output without its call, a reference to an item, or
            reasoning that was not sealed for this project.
    """
    leading: Sequence[MessageItem] = ()
    if isinstance(request.input, str):
        turns: list[Turn] = [UserMessage(request.input)]
    else:
        leading, rest = _split_leading_instructions(request.input)
        turns = _turns(rest, open_reasoning, first_index=len(leading))
    instructions = [request.instructions] if request.instructions else []
    instructions += [text_of(item.content) for item in leading]
    return Conversation(
        current_date=current_date,
        effort=request.reasoning.effective_effort,
        instructions="\n\n".join(instructions) or None,
        tools=() if request.tool_choice == "none" else _tools(request),
        response_format=_response_format(request.text.format),
        turns=turns,
    )


def _split_leading_instructions(
    items: Sequence[Item],
) -> tuple[list[MessageItem], Sequence[Item]]:
    """System and developer messages at the start join the instructions."""
    leading: list[MessageItem] = []
    for item in items:
        if not (isinstance(item, MessageItem) and item.role in ("system", "developer")):
            break
        leading.append(item)
    return leading, items[len(leading) :]


def _turns(
    items: Sequence[Item], open_reasoning: Callable[[str], str], *, first_index: int
) -> list[Turn]:
    turns: list[Turn] = []
    function_names: dict[str, str] = {}  # by call id
    for index, item in enumerate(items, first_index):
        match item:
            case MessageItem():
                turns.append(_message(item))
            case ReasoningItem():
                if text := _reasoning_text(item, open_reasoning, index):
                    turns.append(Reasoning(text))
            case FunctionCallItem():
                function_names[item.call_id] = item.name
                turns.append(ToolCall(item.name, item.arguments))
            case FunctionCallOutputItem():
                if (name := function_names.get(item.call_id)) is None:
                    raise invalid_request(
                        "No tool call found for function call output with call_id"
                        f" {item.call_id}. Send the function_call item before it.",
                        code="invalid_value",
                        param=f"input[{index}].call_id",
                    )
                turns.append(ToolOutput(name, text_of(item.output)))
            case ItemReference():
                if not item.id.startswith(_DISPENSABLE):
                    raise _item_not_found(item.id, index)
            case _:
                assert_never(item)
    return turns


def dropped_references(request: CreateResponse) -> int:
    """How many items of the input only refer to what nobody keeps, and can be done without."""
    if isinstance(request.input, str):
        return 0
    return sum(isinstance(item, ItemReference) for item in request.input)


def _reasoning_text(item: ReasoningItem, open_reasoning: Callable[[str], str], index: int) -> str:
    """Its text as it stands there, else as it was sealed; "" if it has neither.

    A summary is the last resort: we write none, so one that comes back alone is what a client
    (LlamaIndex does so) has made of the text that we sent.
    """
    if item.content:
        return "\n".join(part.text for part in item.content)
    if not item.encrypted_content:
        return "\n".join(part.text for part in item.summary)
    try:
        return open_reasoning(item.encrypted_content)
    except CannotOpen as exc:
        raise invalid_request(
            "This encrypted_content cannot be opened: it was made for another project or model,"
            " too long ago, or has been changed. Leave the reasoning item out.",
            code="invalid_encrypted_content",
            param=f"input[{index}].encrypted_content",
        ) from exc


def _message(item: MessageItem) -> Turn:
    text = text_of(item.content)
    match item.role:
        case "user":
            return UserMessage(text)
        case "assistant":
            return AssistantMessage(text, commentary=item.phase == "commentary")
        case "system" | "developer":
            return DeveloperMessage(text)


def _tools(request: CreateResponse) -> tuple[Tool, ...]:
    return tuple(Tool(tool.name, tool.description or "", tool.parameters) for tool in request.tools)


def _response_format(format_: TextFormat) -> ResponseFormat | None:
    match format_.type:
        case "text":
            return None
        case "json_object":
            return ResponseFormat("json_object", None, {"type": "object"})
        case "json_schema":
            assert format_.name is not None
            assert format_.json_schema is not None
            return ResponseFormat(format_.name, format_.description, format_.json_schema)


def _item_not_found(item_id: str, index: int) -> ApiError:
    return ApiError(
        404,
        "invalid_request_error",
        "item_not_found",
        f"Item '{item_id[:80]}' not found. Items are not persisted: send the item itself"
        " instead of a reference.",
        param=f"input[{index}].id",
    )
