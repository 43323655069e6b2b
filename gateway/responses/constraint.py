"""What a request says its output must look like, for the engine and for the compiler.

tools, tool_choice, text.format              the engine is told
auto, no strict tool, text                   nothing: the model's own ways, at no cost
auto, a strict tool                          all functions; the strict ones with their schema
required, a function, allowed_tools required the functions to choose from; one must be called
allowed_tools auto                           the functions allowed; no others
none                                         no functions
a JSON format, beside any of these           the answer's schema as well
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from gateway.generation import Function, OutputConstraint
from gateway.responses.request import CreateResponse
from gateway.responses.tools import AllowedTools, FunctionTool, NamedFunction

ANY_JSON_OBJECT = '{"type":"object"}'


@dataclass(frozen=True, slots=True)
class SentSchema:
    """A schema of the request's, as JSON."""

    param: str  # where it stands: "tools[3].parameters"
    json: str


def output_constraint(request: CreateResponse) -> OutputConstraint | None:
    """None: whatever the model writes will do."""
    choice = request.tool_choice
    call_required = (
        choice == "required"
        or isinstance(choice, NamedFunction)
        or (isinstance(choice, AllowedTools) and choice.mode == "required")
    )
    tools = request.callable_tools
    # With `none` there is nothing to forbid: the model is not told of the tools.
    some_are_forbidden = isinstance(choice, AllowedTools) and len(tools) < len(request.tools)
    any_strict = any(tool.strict for tool in tools)
    # The request is valid without a call being possible; the answer is not, then.
    final_schema = "" if call_required else _final_schema(request)
    if not (call_required or some_are_forbidden or any_strict or final_schema):
        return None
    return OutputConstraint(
        functions=tuple(
            Function(tool.name, _arguments_schema(tool, forced=call_required)) for tool in tools
        ),
        call_required=call_required,
        final_schema_json=final_schema,
    )


def schemas_to_compile(
    request: CreateResponse, constraint: OutputConstraint
) -> Sequence[SentSchema]:
    """The tenant's own schemas among those of *constraint*, each with its place."""
    places = {tool.name: index for index, tool in enumerate(request.tools)}
    schemas = [
        SentSchema(f"tools[{places[function.name]}].parameters", function.parameters_json)
        for function in constraint.functions
        if function.parameters_json
    ]
    if request.text.format.json_schema is not None and constraint.final_schema_json:
        schemas.append(SentSchema("text.format.schema", constraint.final_schema_json))
    return schemas


def _final_schema(request: CreateResponse) -> str:
    match request.text.format.type:
        case "text":
            return ""
        case "json_object":
            return ANY_JSON_OBJECT
        case "json_schema":
            return _json(request.text.format.json_schema)


def _arguments_schema(tool: FunctionTool, *, forced: bool) -> str:
    """Arguments are an object, whether or not the schema says so."""
    if not tool.parameters or not (tool.strict or forced):
        return ""
    return _json({"type": "object", **tool.parameters})


def _json(schema: object) -> str:
    return orjson.dumps(schema).decode()
