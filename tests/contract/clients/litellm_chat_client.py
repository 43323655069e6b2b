"""LiteLLM's completion(): chat completions translated to the Responses API by the client."""

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
    weather_tool,
)


def ask(messages: Any, key: str = API_KEY, **options: Any) -> Any:
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    return litellm.completion(
        model=f"openai/responses/{MODEL}",
        api_base=BASE_URL,
        api_key=key,
        messages=messages,
        **options,
    )


def chat_tool(name: str) -> dict[str, Any]:
    tool = weather_tool()
    return {"type": "function", "function": {"name": name, "parameters": tool["parameters"]}}


def plain() -> dict[str, Any]:
    return {"text": ask(PROMPTS["plain"]).choices[0].message.content}


def stream() -> dict[str, Any]:
    deltas = [
        chunk.choices[0].delta.content
        for chunk in ask(PROMPTS["stream"], stream=True)
        if chunk.choices and chunk.choices[0].delta.content
    ]
    return {"deltas": deltas, "text": "".join(deltas)}


def _round_trip(prompt: str, output: str) -> dict[str, Any]:
    history: list[Any] = [{"role": "user", "content": prompt}]
    first = ask(history, tools=[chat_tool("get_weather")]).choices[0].message
    history.append(first.model_dump(exclude_none=True))
    history.append({"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": output})
    second = ask(history, tools=[chat_tool("get_weather")]).choices[0].message
    return {"calls": [call.function.name for call in first.tool_calls], "text": second.content}


def tool() -> dict[str, Any]:
    return _round_trip(PROMPTS["tool"], PROMPTS["tool_output"])


def remember() -> dict[str, Any]:
    return {"text": _round_trip(PROMPTS["remember"], "21 degrees")["text"]}


def errors() -> dict[str, Any]:
    return {
        "key": error_of(lambda: ask("Hello", WRONG_KEY)),
        "parameter": error_of(lambda: ask("Hello", temperature=3)),
    }


def schema() -> dict[str, Any]:
    json_schema = {"name": "city", "schema": CITY_SCHEMA, "strict": True}
    answer = ask(
        PROMPTS["schema"], response_format={"type": "json_schema", "json_schema": json_schema}
    )
    return {"parsed": json.loads(answer.choices[0].message.content)}


def forced() -> dict[str, Any]:
    answer = ask(
        PROMPTS["forced"],
        tools=[chat_tool("get_weather"), chat_tool("get_time")],
        tool_choice={"type": "function", "function": {"name": "get_time"}},
    )
    return {"calls": [call.function.name for call in answer.choices[0].message.tool_calls]}


main(plain, stream, tool, remember, errors, schema, forced)
