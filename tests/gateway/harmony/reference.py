"""A conversation as openai-harmony renders it, which is what gpt-oss was trained on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, assert_never

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


def reference_ids(oracle: Any, conversation: Conversation) -> list[int]:
    """The prompt's token ids. Old reasoning is not dropped: the library drops too little."""
    import openai_harmony as oh

    messages = [_system(conversation)]
    if conversation.instructions or conversation.tools or conversation.response_format:
        messages.append(_developer(conversation))
    messages += [_message(turn) for turn in conversation.turns]
    rendered: list[int] = oracle.render_conversation_for_completion(
        oh.Conversation.from_messages(messages),
        oh.Role.ASSISTANT,
        config=oh.RenderConversationConfig(auto_drop_analysis=False),
    )
    return rendered


def reference_tools_text(oracle: Any, tools: Iterable[Tool]) -> str:
    """The section `# Tools`."""
    import openai_harmony as oh

    content = oh.DeveloperContent.new().with_function_tools(_tools(tools))
    message = oh.Message.from_role_and_content(oh.Role.DEVELOPER, content)
    spelled: str = oracle.decode(oracle.render(message))
    return spelled.removeprefix("<|start|>developer<|message|>").removesuffix("<|end|>")


def _system(conversation: Conversation) -> Any:
    import openai_harmony as oh

    content = (
        oh.SystemContent.new()
        .with_conversation_start_date(conversation.current_date)
        .with_reasoning_effort(oh.ReasoningEffort(conversation.effort.capitalize()))
    )
    if not conversation.tools:
        content = content.with_required_channels(["analysis", "final"])
    return oh.Message.from_role_and_content(oh.Role.SYSTEM, content)


def _developer(conversation: Conversation) -> Any:
    import openai_harmony as oh

    content = oh.DeveloperContent.new()
    if conversation.instructions:
        content = content.with_instructions(conversation.instructions)
    if conversation.tools:
        content = content.with_function_tools(_tools(conversation.tools))
    message = oh.Message.from_role_and_content(oh.Role.DEVELOPER, content)
    if conversation.response_format:
        gap = "\n\n" if conversation.instructions or conversation.tools else ""
        text = gap + _format_text(conversation.response_format)
        message = message.adding_content(oh.TextContent(text=text))
    return message


def _tools(tools: Iterable[Tool]) -> list[Any]:
    import openai_harmony as oh

    return [
        oh.ToolDescription.new(tool.name, tool.description, tool.parameters or None)
        for tool in tools
    ]


def _format_text(format_: ResponseFormat) -> str:
    description = f"// {format_.description}\n" if format_.description else ""
    schema = json.dumps(format_.schema, separators=(",", ":"), ensure_ascii=False)
    return f"# Response Formats\n\n## {format_.name}\n\n{description}{schema}"


def _message(turn: Turn) -> Any:
    import openai_harmony as oh

    def said(role: oh.Role, content: Any) -> Any:
        return oh.Message.from_role_and_content(role, content)

    match turn:
        case UserMessage(text):
            return said(oh.Role.USER, text)
        case DeveloperMessage(text):
            return said(oh.Role.DEVELOPER, oh.DeveloperContent.new().with_instructions(text))
        case AssistantMessage(text, commentary):
            channel = "commentary" if commentary else "final"
            return said(oh.Role.ASSISTANT, text).with_channel(channel)
        case Reasoning(text):
            return said(oh.Role.ASSISTANT, text).with_channel("analysis")
        case ToolCall(name, arguments):
            return (
                said(oh.Role.ASSISTANT, arguments)
                .with_channel("commentary")
                .with_recipient(f"functions.{name}")
                .with_content_type("<|constrain|>json")
            )
        case ToolOutput(name, output):
            author = oh.Author.new(oh.Role.TOOL, f"functions.{name}")
            message = oh.Message.from_author_and_content(author, output)
            return message.with_channel("commentary").with_recipient("assistant")
        case _:
            assert_never(turn)
