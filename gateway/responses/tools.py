"""The tools of a request, and which of them the model may or must call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Never

from pydantic import Discriminator, Field, Tag, model_validator

from gateway.responses.validation import ApiModel, refuse

MAX_TOOLS = 128

FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]


def _flattened(data: Any) -> Any:
    """The form of chat completions, {"function": {...}}, as that of responses."""
    if isinstance(data, dict) and isinstance(data.get("function"), dict):
        outer = {key: value for key, value in data.items() if key != "function"}
        return {**data["function"], **outer}
    return data


class FunctionTool(ApiModel):
    """A function that the client runs. The form of chat completions, with these fields inside of
    `function`, is taken too."""

    type: Literal["function"]
    """Always `function`."""
    name: FunctionName
    """The function's name, unique among the tools."""
    description: str | None = None
    """What the function does and when to call it; the model reads it."""
    parameters: dict[str, Any] | None = None
    """The JSON Schema of the arguments, an object; null for none."""
    strict: bool | None = None
    """Whether the arguments must match the schema exactly."""

    @model_validator(mode="before")
    @classmethod
    def _chat_completions_form(cls, data: Any) -> Any:
        return _flattened(data)

    def echoed(self) -> dict[str, object]:
        """As the response repeats it: every key, absent ones as null."""
        return {
            "type": "function",
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
            "strict": self.strict,
        }


def without_unsupported_tools(
    body: Mapping[str, object],
) -> tuple[Mapping[str, object], int]:
    """A request without the tools that are no functions, and how many those were.

    For clients that offer tools of their provider's in every request, and can do without. A
    choice among such tools goes with them.
    """
    tools = body.get("tools")
    if not isinstance(tools, list):
        return body, 0
    kept = [tool for tool in tools if _tag_of_tool(tool) == "=function"]
    dropped = len(tools) - len(kept)
    if not dropped:
        return body, 0
    supported = {**body, "tools": kept}
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and _tag_of_choice(choice) == "=unsupported":
        del supported["tool_choice"]
    return supported, dropped


def _tag_of_tool(tool: Any) -> str:
    type_ = tool.get("type") if isinstance(tool, dict) else "function"
    return "=function" if type_ in ("function", None) else "=unsupported"


Tool = Annotated[
    Annotated[FunctionTool, Tag("=function")]
    | Annotated[
        Never,
        refuse(
            "unsupported_tool",
            "Tools of type '{type}' are not supported: only functions are, which your client runs.",
            field="type",
        ),
        Tag("=unsupported"),
    ],
    Discriminator(_tag_of_tool),
]


class NamedFunction(ApiModel):
    """This function. Inside of `function` the name is taken too."""

    type: Literal["function"]
    """Always `function`."""
    name: FunctionName
    """The name of one of `tools`."""

    @model_validator(mode="before")
    @classmethod
    def _chat_completions_form(cls, data: Any) -> Any:
        return _flattened(data)


class AllowedTools(ApiModel):
    """Only these functions may (auto) or must (required) be called."""

    type: Literal["allowed_tools"]
    """Always `allowed_tools`."""
    mode: Literal["auto", "required"]
    """Whether the model may call one of them, or must."""
    tools: Annotated[list[NamedFunction], Field(min_length=1, max_length=MAX_TOOLS)]
    """The functions that may be called, each one of `tools`."""


def _tag_of_choice(choice: Any) -> str:
    if not isinstance(choice, dict):
        return "=mode"
    match choice.get("type"):
        case "function":
            return "=function"
        case "allowed_tools":
            return "=allowed_tools"
        case _:
            return "=unsupported"


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("=mode")]
    | Annotated[NamedFunction, Tag("=function")]
    | Annotated[AllowedTools, Tag("=allowed_tools")]
    | Annotated[
        Never,
        refuse(
            "invalid_value",
            "A tool choice of type '{type}' is not supported. Use 'none', 'auto', 'required',"
            " a function, or allowed_tools.",
            field="type",
        ),
        Tag("=unsupported"),
    ],
    Discriminator(_tag_of_choice),
]
