"""A deployment may serve requests without the tools that it has not."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.responses.request import CreateResponse
from gateway.responses.tools import without_unsupported_tools
from gateway.responses.validation import validated

FUNCTION = {"type": "function", "name": "get_weather"}
HOSTED = {"type": "web_search"}


@pytest.mark.parametrize(
    ("sent", "served", "dropped"),
    [
        ({}, {}, 0),
        ({"tools": None}, {"tools": None}, 0),
        ({"tools": [FUNCTION]}, {"tools": [FUNCTION]}, 0),
        ({"tools": [HOSTED, FUNCTION, {"type": "namespace"}]}, {"tools": [FUNCTION]}, 2),
        ({"tools": [HOSTED], "tool_choice": HOSTED}, {"tools": []}, 1),
        (
            {"tools": [HOSTED, FUNCTION], "tool_choice": "required"},
            {"tools": [FUNCTION], "tool_choice": "required"},
            1,
        ),
        # What is no tool at all is still told so.
        ({"tools": "web_search"}, {"tools": "web_search"}, 0),
        ({"tools": [HOSTED, 7]}, {"tools": [7]}, 1),
    ],
)
def test_tools_that_are_no_functions_are_left_out(
    sent: dict[str, Any], served: dict[str, Any], dropped: int
) -> None:
    before = repr(sent)
    assert without_unsupported_tools(sent) == (served, dropped)
    assert repr(sent) == before


def test_what_is_left_is_what_the_answer_repeats() -> None:
    body, _ = without_unsupported_tools(
        {"model": "gpt-oss-120b", "input": "hi", "tools": [HOSTED, FUNCTION]}
    )
    request = validated(CreateResponse, dict(body))
    assert [tool.name for tool in request.tools] == ["get_weather"]
