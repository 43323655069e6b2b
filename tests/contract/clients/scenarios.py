"""What the scripts in this directory share: who to ask, what to ask, how to tell.

A script is one client of a tenant: its functions are scenarios, and each returns facts
that tests/contract/test_clients.py compares. Run one by hand, in its own environment:

    . .run/env && .venv-clients/bin/python tests/contract/clients/langchain_client.py plain
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

BASE_URL = os.environ["GATEWAY_URL"] + "/v1"
API_KEY = os.environ["GATEWAY_API_KEY"]
WRONG_KEY = "gwk_wrong"
PROMPTS: dict[str, str] = json.loads(Path(__file__).with_name("prompts.json").read_text())
MODEL = PROMPTS["model"]
CITY_SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "population": {"type": "integer"}},
    "required": ["name", "population"],
    "additionalProperties": False,
}


def weather_tool() -> dict[str, Any]:
    return {
        "type": "function",
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    }


def told_logprobs(logprobs: Any) -> dict[str, Any]:
    """Facts about the log probabilities of an answer, as objects or as dicts."""
    tokens = [each if isinstance(each, dict) else each.model_dump() for each in logprobs]
    return {
        "text": "".join(each["token"] for each in tokens),
        "alternatives": {len(each["top_logprobs"]) for each in tokens} == {2},
        "negative": all(each["logprob"] <= 0 for each in tokens),
    }


def error_of(call: Callable[[], Any]) -> str:
    """The class of the error that *call* raises, as the client names it."""
    try:
        call()
    except Exception as exc:  # noqa: BLE001 - whatever it raises is the answer
        return f"{type(exc).__module__.partition('.')[0]}.{type(exc).__name__}"
    return "none"


def main(*scenarios: Callable[[], dict[str, Any]]) -> None:
    """Run the scenarios that the command line names, or all; print a JSON line for each."""
    for scenario in scenarios:
        if sys.argv[1:] and scenario.__name__ not in sys.argv[1:]:
            continue
        line: dict[str, Any] = {"scenario": scenario.__name__}
        try:
            line["facts"] = scenario()
        except Exception:  # noqa: BLE001 - the test reads it
            line["raised"] = traceback.format_exc()
        print(json.dumps(line), flush=True)
