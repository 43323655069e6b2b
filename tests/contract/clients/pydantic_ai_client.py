"""Pydantic AI."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, ToolOutput, UsageLimits
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider
from scenarios import API_KEY, BASE_URL, MODEL, PROMPTS, WRONG_KEY, error_of, main, told_logprobs


class City(BaseModel):
    name: str
    population: int


def agent(key: str = API_KEY, **options: Any) -> Agent[None, Any]:
    provider = OpenAIProvider(base_url=BASE_URL, api_key=key)
    return Agent(OpenAIResponsesModel(MODEL, provider=provider), **options)


def get_weather(city: str) -> str:
    """The weather of a city."""
    return PROMPTS["tool_output"]


def get_weather_plainly(city: str) -> str:
    """The weather of a city."""
    return "21 degrees"


def plain() -> dict[str, Any]:
    return {"text": agent(instructions="Be brief.").run_sync(PROMPTS["plain"]).output}


def stream() -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        async with agent().run_stream(PROMPTS["stream"]) as result:
            deltas = [text async for text in result.stream_text(delta=True, debounce_by=None)]
            return {"deltas": deltas, "text": await result.get_output()}

    return asyncio.run(run())


def tool() -> dict[str, Any]:
    result = agent(tools=[get_weather]).run_sync(
        PROMPTS["tool"], usage_limits=UsageLimits(request_limit=2)
    )
    calls = [
        part.tool_name
        for message in result.all_messages()
        for part in message.parts
        if isinstance(part, ToolCallPart)
    ]
    return {"calls": calls, "text": result.output}


def _remember(**settings: Any) -> dict[str, Any]:
    tested = agent(model_settings=settings)
    tested.tool_plain(name="get_weather")(get_weather_plainly)
    result = tested.run_sync(PROMPTS["remember"], usage_limits=UsageLimits(request_limit=2))
    return {"text": result.output}


def remember() -> dict[str, Any]:
    return _remember()


def remember_encrypted() -> dict[str, Any]:
    return _remember(openai_store=False)


def errors() -> dict[str, Any]:
    too_warm = agent(model_settings={"temperature": 3})
    return {
        "key": error_of(lambda: agent(WRONG_KEY).run_sync("Hello")),
        "parameter": error_of(lambda: too_warm.run_sync("Hello")),
    }


def schema() -> dict[str, Any]:
    result = agent(output_type=NativeOutput(City)).run_sync(PROMPTS["schema"])
    return {"parsed": result.output.model_dump()}


def forced() -> dict[str, Any]:
    # Its default way to a typed output: a tool that must be called.
    result = agent(output_type=ToolOutput(City, name="give_city")).run_sync(PROMPTS["forced"])
    calls = [
        part.tool_name
        for message in result.all_messages()
        for part in message.parts
        if isinstance(part, ToolCallPart)
    ]
    return {"calls": calls}


def logprobs() -> dict[str, Any]:
    settings = {"openai_logprobs": True, "openai_top_logprobs": 2}
    result = agent().run_sync(PROMPTS["plain"], model_settings=settings)
    (text,) = [part for part in result.response.parts if part.part_kind == "text"]
    return told_logprobs(text.provider_details["logprobs"])


main(plain, stream, tool, remember, remember_encrypted, errors, schema, forced, logprobs)
