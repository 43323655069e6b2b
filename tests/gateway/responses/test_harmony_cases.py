"""What gpt-oss really emits, and what a client is given for it.

The cases were collected from the issue trackers of those who met them; each
names its source.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.generation import FinishReason
from gateway.harmony.encoding import Encoding
from gateway.harmony.parser import HarmonyParser
from gateway.responses import events as ev
from gateway.responses.output_mapping import OutputMapping
from gateway.responses.request import CreateResponse
from gateway.responses.response import ResponseObject
from gateway.responses.stream import ResponseStream
from gateway.responses.validation import validated

CASES = json.loads((Path(__file__).parents[1] / "harmony" / "cases.json").read_text())


def _request(case: dict[str, Any]) -> CreateResponse:
    format_ = {"type": case["format"], "name": "answer", "schema": {}}
    return validated(
        CreateResponse,
        {
            "model": "gpt-oss-120b",
            "input": "hi",
            "tools": [{"type": "function", "name": name} for name in case["tools"]],
            "tool_choice": case["tool_choice"],
            "text": {"format": format_},
        },
    )


def _simplified(item: dict[str, Any]) -> dict[str, Any]:
    """An item of a response as the cases write it."""
    match item["type"]:
        case "function_call":
            return {key: item[key] for key in ("type", "name", "arguments", "status")}
        case "message":
            text = "".join(part["text"] for part in item["content"])
            return {
                "type": "message",
                "phase": item["phase"],
                "text": text,
                "status": item["status"],
            }
        case _:
            text = "".join(part["text"] for part in item["content"])
            return {"type": "reasoning", "text": text, "status": item["status"]}


@pytest.mark.parametrize("chunk_tokens", [1, 3, 1000])
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_client_gets_what_the_model_meant(
    case: dict[str, Any], chunk_tokens: int, encoding: Encoding, ids: Callable[[str], list[int]]
) -> None:
    request = _request(case)
    stream = ResponseStream(
        ResponseObject(request, response_id="r", created_at=0, model="gpt-oss-120b"),
        OutputMapping.of(request),
        HarmonyParser(encoding.token_bytes),
        input_tokens=1,
    )
    token_ids = ids(case["raw"])
    stream.start()
    for start in range(0, len(token_ids), chunk_tokens):
        stream.receive_tokens(token_ids[start : start + chunk_tokens])
    cut = case["status"] == "incomplete"
    last = stream.finish(FinishReason.MAX_OUTPUT_TOKENS if cut else FinishReason.STOP, at=0)[-1]

    assert isinstance(last, ev.ResponseIncomplete if cut else ev.ResponseCompleted)
    assert last.response["status"] == case["status"]
    output = last.response["output"]
    assert isinstance(output, list)
    assert [_simplified(item) for item in output] == case["expect"]
