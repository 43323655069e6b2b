"""LangChain's ChatOpenAI."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool as as_tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel
from scenarios import API_KEY, BASE_URL, MODEL, PROMPTS, WRONG_KEY, error_of, main


class City(BaseModel):
    name: str
    population: int


@as_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return ""


@as_tool
def get_time(city: str) -> str:
    """The time in a city."""
    return ""


def model(key: str = API_KEY, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(
        model=MODEL, base_url=BASE_URL, api_key=key, use_responses_api=True, **options
    )


def plain() -> dict[str, Any]:
    return {"text": model().invoke(PROMPTS["plain"]).text}


def stream() -> dict[str, Any]:
    chunks = list(model().stream(PROMPTS["stream"]))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return {"deltas": [chunk.text for chunk in chunks if chunk.text], "text": whole.text}


def _round_trip(prompt: str, output: str, **options: Any) -> dict[str, Any]:
    with_tools = model(**options).bind_tools([get_weather])
    question = HumanMessage(prompt)
    call = with_tools.invoke([question])
    assert isinstance(call, AIMessage)
    result = ToolMessage(output, tool_call_id=call.tool_calls[0]["id"])
    return {
        "calls": [each["name"] for each in call.tool_calls],
        "text": with_tools.invoke([question, call, result]).text,
    }


def tool() -> dict[str, Any]:
    return _round_trip(PROMPTS["tool"], PROMPTS["tool_output"])


def remember() -> dict[str, Any]:
    return {"text": _round_trip(PROMPTS["remember"], "21 degrees")["text"]}


def remember_encrypted() -> dict[str, Any]:
    options = {"include": ["reasoning.encrypted_content"], "store": False}
    return {"text": _round_trip(PROMPTS["remember"], "21 degrees", **options)["text"]}


def errors() -> dict[str, Any]:
    return {
        "key": error_of(lambda: model(WRONG_KEY).invoke("Hello")),
        "parameter": error_of(lambda: model(temperature=3).invoke("Hello")),
    }


def schema() -> dict[str, Any]:
    parsed = model().with_structured_output(City, method="json_schema").invoke(PROMPTS["schema"])
    assert isinstance(parsed, City)
    return {"parsed": parsed.model_dump()}


def forced() -> dict[str, Any]:
    with_tools = model().bind_tools([get_weather, get_time], tool_choice="get_time")
    return {"calls": [call["name"] for call in with_tools.invoke(PROMPTS["forced"]).tool_calls]}


main(plain, stream, tool, remember, remember_encrypted, errors, schema, forced)
