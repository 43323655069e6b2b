"""LiteLLM's responses(), as a library."""

from __future__ import annotations

import json
from typing import Any

import litellm
from scenarios import (
    API_KEY,
    BASE_URL,
    CITY_SCHEMA,
    MODEL,
    PROMPTS,
    WRONG_KEY,
    error_of,
    main,
    told_logprobs,
    weather_tool,
)


def ask(input: Any, key: str = API_KEY, **options: Any) -> Any:
    return litellm.responses(
        model=f"openai/{MODEL}", api_base=BASE_URL, api_key=key, input=input, **options
    )


def plain() -> dict[str, Any]:
    return {"text": ask(PROMPTS["plain"]).output_text}


def stream() -> dict[str, Any]:
    deltas, text = [], None
    for event in ask(PROMPTS["stream"], stream=True):
        if event.type == "response.output_text.delta":
            deltas.append(event.delta)
        if event.type == "response.completed":
            text = event.response.output_text
    return {"deltas": deltas, "text": text}


def _round_trip(prompt: str, output: str, **options: Any) -> dict[str, Any]:
    history: list[Any] = [{"role": "user", "content": prompt}]
    first = ask(history, tools=[weather_tool()], **options)
    calls = [item for item in first.output if item.type == "function_call"]
    history += [item.model_dump(exclude_none=True) for item in first.output]
    history.append({"type": "function_call_output", "call_id": calls[0].call_id, "output": output})
    second = ask(history, tools=[weather_tool()], **options)
    return {"calls": [call.name for call in calls], "text": second.output_text}


def tool() -> dict[str, Any]:
    return _round_trip(PROMPTS["tool"], PROMPTS["tool_output"])


def remember() -> dict[str, Any]:
    return {"text": _round_trip(PROMPTS["remember"], "21 degrees")["text"]}


def remember_encrypted() -> dict[str, Any]:
    options = {"include": ["reasoning.encrypted_content"], "store": False}
    return {"text": _round_trip(PROMPTS["remember"], "21 degrees", **options)["text"]}


def errors() -> dict[str, Any]:
    return {
        "key": error_of(lambda: ask("Hello", WRONG_KEY)),
        "parameter": error_of(lambda: ask("Hello", temperature=3)),
    }


def schema() -> dict[str, Any]:
    text_format = {"type": "json_schema", "name": "city", "schema": CITY_SCHEMA, "strict": True}
    answer = ask(PROMPTS["schema"], text={"format": text_format})
    return {"parsed": json.loads(answer.output_text)}


def forced() -> dict[str, Any]:
    tools = [weather_tool(), {**weather_tool(), "name": "get_time"}]
    choice = {"type": "function", "name": "get_time"}
    answer = ask(PROMPTS["forced"], tools=tools, tool_choice=choice)
    return {"calls": [item.name for item in answer.output if item.type == "function_call"]}


def logprobs() -> dict[str, Any]:
    answer = ask(PROMPTS["plain"], include=["message.output_text.logprobs"], top_logprobs=2)
    (message,) = [item for item in answer.output if item.type == "message"]
    return told_logprobs(message.content[0].logprobs)


main(plain, stream, tool, remember, remember_encrypted, errors, schema, forced, logprobs)
