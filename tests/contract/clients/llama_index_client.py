"""LlamaIndex's OpenAIResponses."""

from __future__ import annotations

from typing import Any

from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAIResponses
from pydantic import BaseModel
from scenarios import API_KEY, BASE_URL, MODEL, PROMPTS, WRONG_KEY, error_of, main, told_logprobs


class City(BaseModel):
    name: str
    population: int


def get_weather(city: str) -> str:
    """The weather of a city."""
    return PROMPTS["tool_output"]


def get_time(city: str) -> str:
    """The time in a city."""
    return "noon"


TOOLS = [FunctionTool.from_defaults(get_weather), FunctionTool.from_defaults(get_time)]


def model(key: str = API_KEY, **options: Any) -> OpenAIResponses:
    # It knows the names of OpenAI's models only, and asks them for their context window.
    return OpenAIResponses(
        model=MODEL, api_base=BASE_URL, api_key=key, context_window=131072, **options
    )


def plain() -> dict[str, Any]:
    return {"text": model().complete(PROMPTS["plain"]).text}


def stream() -> dict[str, Any]:
    chunks = list(model().stream_complete(PROMPTS["stream"]))
    return {"deltas": [chunk.delta for chunk in chunks if chunk.delta], "text": chunks[-1].text}


def _round_trip(prompt: str, output: str, **options: Any) -> dict[str, Any]:
    llm = model(**options)
    question = ChatMessage(role="user", content=prompt)
    first = llm.chat_with_tools(TOOLS, chat_history=[question])
    calls = llm.get_tool_calls_from_response(first)
    result = ChatMessage(
        role="tool", content=output, additional_kwargs={"call_id": calls[0].tool_id}
    )
    second = llm.chat_with_tools(TOOLS, chat_history=[question, first.message, result])
    return {"calls": [call.tool_name for call in calls], "text": second.message.content}


def tool() -> dict[str, Any]:
    return _round_trip(PROMPTS["tool"], PROMPTS["tool_output"])


def remember() -> dict[str, Any]:
    return {"text": _round_trip(PROMPTS["remember"], "21 degrees")["text"]}


def remember_stored() -> dict[str, Any]:
    # It sends reasoning back only where it believes that it was stored, and then as a summary.
    return {"text": _round_trip(PROMPTS["remember"], "21 degrees", store=True)["text"]}


def remember_encrypted() -> dict[str, Any]:
    options = {"include": ["reasoning.encrypted_content"], "store": False}
    return {"text": _round_trip(PROMPTS["remember"], "21 degrees", **options)["text"]}


def errors() -> dict[str, Any]:
    return {
        "key": error_of(lambda: model(WRONG_KEY).complete("Hello")),
        "parameter": error_of(lambda: model().complete("Hello", metadata={"key": 1})),
    }


def schema() -> dict[str, Any]:
    parsed = model().structured_predict(City, PromptTemplate(PROMPTS["schema"]))
    return {"parsed": parsed.model_dump()}


def forced() -> dict[str, Any]:
    llm = model()
    answer = llm.chat_with_tools(TOOLS, user_msg=PROMPTS["forced"], tool_choice="get_time")
    return {"calls": [call.tool_name for call in llm.get_tool_calls_from_response(answer)]}


def logprobs() -> dict[str, Any]:
    options = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    answer = model(**options).complete(PROMPTS["plain"])
    (message,) = [item for item in answer.raw.output if item.type == "message"]
    return told_logprobs(message.content[0].logprobs)


main(
    plain,
    stream,
    tool,
    remember,
    remember_stored,
    remember_encrypted,
    errors,
    schema,
    forced,
    logprobs,
)
