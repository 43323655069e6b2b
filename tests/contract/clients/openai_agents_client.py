"""OpenAI Agents SDK."""

from __future__ import annotations

import asyncio
from typing import Any

from agents import (
    Agent,
    ModelSettings,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from pydantic import BaseModel
from scenarios import API_KEY, BASE_URL, MODEL, PROMPTS, WRONG_KEY, error_of, main, told_logprobs

# Traces would go to OpenAI.
set_tracing_disabled(True)


class City(BaseModel):
    name: str
    population: int


@function_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return PROMPTS["tool_output"]


@function_tool(name_override="get_weather")
def get_weather_plainly(city: str) -> str:
    """The weather of a city."""
    return "21 degrees"


@function_tool
def get_time(city: str) -> str:
    """The time in a city."""
    return "noon"


def agent(key: str = API_KEY, **options: Any) -> Agent:
    client = AsyncOpenAI(base_url=BASE_URL, api_key=key)
    return Agent(name="test", model=OpenAIResponsesModel(MODEL, client), **options)


def plain() -> dict[str, Any]:
    result = Runner.run_sync(agent(instructions="Be brief."), PROMPTS["plain"])
    return {"text": result.final_output}


def stream() -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        result = Runner.run_streamed(agent(), PROMPTS["stream"])
        deltas = [
            event.data.delta
            async for event in result.stream_events()
            if event.type == "raw_response_event"
            and event.data.type == "response.output_text.delta"
        ]
        return {"deltas": deltas, "text": result.final_output}

    return asyncio.run(run())


def tool() -> dict[str, Any]:
    result = Runner.run_sync(agent(tools=[get_weather]), PROMPTS["tool"], max_turns=2)
    calls = [item.raw_item.name for item in result.new_items if item.type == "tool_call_item"]
    return {"calls": calls, "text": result.final_output}


def remember() -> dict[str, Any]:
    result = Runner.run_sync(agent(tools=[get_weather_plainly]), PROMPTS["remember"], max_turns=2)
    return {"text": result.final_output}


def remember_encrypted() -> dict[str, Any]:
    settings = ModelSettings(store=False, response_include=["reasoning.encrypted_content"])
    tested = agent(tools=[get_weather_plainly], model_settings=settings)
    result = Runner.run_sync(tested, PROMPTS["remember"], max_turns=2)
    return {"text": result.final_output}


def errors() -> dict[str, Any]:
    too_warm = agent(model_settings=ModelSettings(temperature=3))
    return {
        "key": error_of(lambda: Runner.run_sync(agent(WRONG_KEY), "Hello")),
        "parameter": error_of(lambda: Runner.run_sync(too_warm, "Hello")),
    }


def schema() -> dict[str, Any]:
    result = Runner.run_sync(agent(output_type=City), PROMPTS["schema"])
    return {"parsed": result.final_output.model_dump()}


def forced() -> dict[str, Any]:
    settings = ModelSettings(tool_choice="get_time")
    tested = agent(
        tools=[get_weather, get_time],
        model_settings=settings,
        tool_use_behavior="stop_on_first_tool",
    )
    result = Runner.run_sync(tested, PROMPTS["forced"], max_turns=2)
    calls = [item.raw_item.name for item in result.new_items if item.type == "tool_call_item"]
    return {"calls": calls}


def logprobs() -> dict[str, Any]:
    settings = ModelSettings(top_logprobs=2, response_include=["message.output_text.logprobs"])
    result = Runner.run_sync(agent(model_settings=settings), PROMPTS["plain"])
    (message,) = [item for item in result.raw_responses[0].output if item.type == "message"]
    return told_logprobs(message.content[0].logprobs)


main(plain, stream, tool, remember, remember_encrypted, errors, schema, forced, logprobs)
