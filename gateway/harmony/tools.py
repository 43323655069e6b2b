"""The functions a model may call, as its developer message presents them.

# Tools

## functions

namespace functions {

// Current weather.
type get_weather = (_: {
city: string,
}) => any;

} // namespace functions
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gateway.harmony.conversation import Tool
from gateway.harmony.typescript import print_type

# Twice what the model's context holds: a prompt with so many will be refused as
# too long, but to know its length it must be rendered first.
MAX_TYPES_CHARACTERS = 1_000_000

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.-]")


def tools_text(tools: Sequence[Tool]) -> str:
    """The section `# Tools`. Never raises, whatever the tools' schemas are."""
    types_left = MAX_TYPES_CHARACTERS
    lines = ["# Tools\n\n## functions\n", "namespace functions {\n"]
    for tool in tools:
        lines += [f"// {line}" for line in _lines(tool.description)]
        argument = print_type(tool.parameters or {}, max_characters=types_left)
        types_left -= len(argument or "")
        signature = "()" if argument is None else f"(_: {argument})"
        lines.append(f"type {function_name(tool.name)} = {signature} => any;\n")
    lines.append("} // namespace functions")
    return "\n".join(lines)


def function_name(name: str) -> str:
    """*name* as it may stand in a header, where a blank would end it.

    The API takes no other names; this is the second lock on that door.
    """
    return _NOT_IN_A_NAME.sub("_", name)


def _lines(text: str) -> list[str]:
    # Not splitlines(): U+2028 and others stay within their line.
    lines = text.replace("\r\n", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]
