"""Reading function declarations."""

from __future__ import annotations

import pytest

from workers.engines.simulator.conversation import PromptMessage
from workers.engines.simulator.tools import Json, ToolCall, first_tool_call


def _call(declarations: str, role: str = "developer") -> ToolCall | None:
    text = f"# Tools\n\n## functions\n\nnamespace functions {{\n\n{declarations}\n\n}}"
    return first_tool_call([PromptMessage(role, text)])


def test_a_function_without_parameters_has_no_arguments() -> None:
    assert _call("type now = () => any;") == ToolCall("now", {})


def test_only_developers_declare_functions() -> None:
    assert _call("type now = () => any;", role="user") is None
    assert _call("") is None


@pytest.mark.parametrize(
    ("type_text", "value"),
    [
        ("string,", "Paris"),
        ("any,", "Paris"),
        ("number, // default: 3", 1),
        ("boolean,", True),
        ("null,", None),
        ("object,", {}),
        ("string[],", []),
        ("Array<any>,", []),
        ("string | null,", "Paris"),
        ('"a"b" | "c, d",', 'a"b'),
        ("{\n    },", {}),
        ("{\n    x: number,\n    y?: string,\n    },", {"x": 1}),
        ("{\n    x: number,\n    }[],", []),
        ("\n | number\n | {\n   z: string,\n   }\n,", 1),
        ("\n | {\n   z: string,\n   }\n | null\n,", {"z": "Paris"}),
        ("\n,", None),
    ],
)
def test_each_type_has_a_harmless_value(type_text: str, value: Json) -> None:
    glue = "" if type_text.startswith("\n") else " "

    call = _call(
        f"type f = (_: {{\n// About a: b.\na:{glue}{type_text}\nlast: number,\n}}) => any;"
    )

    assert call == ToolCall("f", {"a": value, "last": 1})
