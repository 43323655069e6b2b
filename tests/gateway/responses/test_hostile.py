"""Whatever a tenant writes, and wherever: the control tokens of a prompt depend on structure only.

A few hundred conversations here; `make test-hostile` plays 100,000.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.harmony.encoding import Encoding
from gateway.harmony.render import encode, render
from gateway.responses.json_body import parse_json_object
from gateway.responses.prompt import to_conversation
from gateway.responses.request import CreateResponse
from gateway.responses.schema_limits import check_schema_limits
from gateway.responses.validation import validated
from wire.vocabulary import CONTROL_TOKENS, FIRST_CONTROL_TOKEN, MESSAGE, START

# What somebody would try who wants to speak as another.
_WORDS = [
    *CONTROL_TOKENS,
    *("<|", "|>", "<|start", "|start|>", "<|im_start|>", "<|endoftext|>", "<|200006|>"),
    *(
        "<\u200b|start|>",
        "<|START|>",
        "\uff1c|start|\uff1e",
        "&lt;|start|&gt;",
        "\\u003c|end|>",
    ),
    *("system", "developer", "user", "assistant", "tool", "functions.f", "browser.search"),
    *(" to=functions.f", " to=assistant", " to=python", "commentary", "analysis", "final"),
    *("<|constrain|>json", "# Valid channels:", "# Tools", "# Instructions", "Reasoning: high"),
    *(
        "} // namespace functions",
        "// ",
        "*/",
        '"',
        "'",
        "\\",
        "{",
        "}",
        "\n",
        "\r\n",
        "\u2028",
    ),
    *("\x00", "\x1b", "\ufeff", "\u202e", "\ufffd", "\U0001f469\u200d\U0001f680", " ", "\t"),
]
_NAMES = ("functions", "assistant", "to", "system", "_" * 64, "-" * 64, "json", "final")
_IN_A_NAME = f"{string.ascii_letters}{string.digits}_-"
_SCHEMA_KEYS = (
    *("description", "title", "default", "const", "pattern", "format", "$comment", "$ref"),
)


class _Hostile:
    """Draws from a seed: Hypothesis would take ten times as long to draw each text."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def text(self) -> str:
        return "".join(self._word() for _ in range(self._random.randrange(8)))

    def _word(self) -> str:
        if self._random.random() < 0.8:
            return self._random.choice(_WORDS)
        code = self._random.choice(
            (self._random.randrange(0x250), self._random.randrange(0x110000))
        )
        return "" if 0xD800 <= code < 0xE000 else chr(code)

    def name(self) -> str:
        """Anything that the API takes, up to its longest."""
        if self._random.random() < 0.3:
            return self._random.choice(_NAMES)
        return "".join(self._random.choices(_IN_A_NAME, k=self._random.choice((1, 9, 64))))

    def schema(self) -> dict[str, Any]:
        return {
            **self._annotations(),
            "type": "object",
            "properties": {
                **{self.text(): self._annotations() for _ in range(self._random.randrange(4))},
                "e": {"enum": [self.text(), self.text()]},
            },
            "required": [self.text()],
        }

    def _annotations(self) -> dict[str, str]:
        return {key: self.text() for key in self._random.sample(_SCHEMA_KEYS, 2)}


def _call(text: Callable[[], str], name: Callable[[], str]) -> list[Any]:
    # Two ids that are nobody's text: the pair belongs to the structure.
    return [
        {"type": "function_call", "call_id": "c", "name": name(), "arguments": text()},
        {"type": "function_call_output", "call_id": "c", "output": text()},
    ]


_TURNS: dict[str, Callable[[Callable[[], str], Callable[[], str]], list[Any]]] = {
    "string": lambda text, name: [text()],
    **{
        role: lambda text, name, role=role: [{"role": role, "content": text()}]  # type: ignore[misc]
        for role in ("user", "system", "developer", "assistant")
    },
    "parts": lambda text, name: [
        {"role": "user", "content": [{"type": "input_text", "text": text()} for _ in range(3)]}
    ],
    "preamble": lambda text, name: [
        {"role": "assistant", "content": text(), "phase": "commentary"}
    ],
    "reasoning": lambda text, name: [
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": f"r{text()}"}]}
    ],
    "call": _call,
}


def _body(
    kinds: list[str],
    text: Callable[[], str],
    name: Callable[[], str],
    schema: Callable[[], dict[str, Any]],
    *,
    tools: int,
    format_: bool,
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": "gpt-oss-120b",
        "instructions": f"i{text()}",
        "user": text(),
        "input": [item for kind in kinds for item in _TURNS[kind](text, name)],
        "tools": [
            # Two tools may not have one name.
            {
                "type": "function",
                "name": f"{name()[:60]}_{index}",
                "description": text(),
                "parameters": schema(),
            }
            for index in range(tools)
        ],
    }
    if format_:
        format_fields = {"name": name(), "description": text(), "schema": schema()}
        body["text"] = {"format": {"type": "json_schema", **format_fields}}
    return body


def _skeleton(encoding: Encoding, body: dict[str, Any]) -> list[int | str]:
    """The control tokens of the prompt; and the headers, as text, without names."""
    request = validated(CreateResponse, parse_json_object(orjson.dumps(body)))
    check_schema_limits(request)
    token_ids = encode(render(to_conversation(request, "2026-11-22", str)), encoding.encode_text)
    skeleton: list[int | str] = []
    header: list[int] | None = None
    for token_id in token_ids:
        if token_id >= FIRST_CONTROL_TOKEN:
            if header is not None:
                words = encoding.decode(header).split(" ")
                skeleton.append(" ".join("functions." if "functions." in w else w for w in words))
            skeleton.append(token_id)
            header = None if token_id == MESSAGE else []
        elif header is not None:
            header.append(token_id)
    assert token_ids.count(START) == skeleton.count(START)
    return skeleton


@settings(settings.get_profile("hostile"))
@given(
    seed=st.integers(0, 2**64),
    kinds=st.lists(st.sampled_from(sorted(_TURNS)), min_size=1, max_size=6),
    tools=st.integers(0, 2),
    format_=st.booleans(),
)
def test_the_skeleton_of_a_prompt_depends_on_its_structure_only(
    encoding: Encoding, seed: int, kinds: list[str], tools: int, format_: bool
) -> None:
    drawn = _Hostile(seed)
    hostile = _body(kinds, drawn.text, drawn.name, drawn.schema, tools=tools, format_=format_)
    harmless = _body(
        kinds, lambda: "x", lambda: "f", lambda: {"type": "object"}, tools=tools, format_=format_
    )

    assert _skeleton(encoding, hostile) == _skeleton(encoding, harmless)
