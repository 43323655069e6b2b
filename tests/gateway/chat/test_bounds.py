"""A chat of millions of wrong things is refused as fast as one."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.chat.translation import chat_of
from gateway.responses.errors import ApiError
from tests.cpu_time import best_cpu_s


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [0] * 200_000},
        {"messages": [{"role": "assistant", "tool_calls": [0] * 200_000}]},
        {"messages": [{"role": "user", "content": "hi"}], "modalities": [0] * 200_000},
    ],
    ids=["messages", "tool calls", "modalities"],
)
def test_a_flood_of_wrong_things_is_one_error_and_not_a_flood_of_them(body: dict[str, Any]) -> None:
    def look() -> None:
        with pytest.raises(ApiError):
            chat_of({"model": "gpt-oss-120b", **body})

    assert best_cpu_s(look) < 0.3  # 0.01 s without anybody else on the machine
