"""From a response to the chat completion that tells the same, whole.

content            the texts of the messages, preambles before a call included
reasoning_content  what the model thought; also as `reasoning`: clients of
                   gpt-oss look for one name or the other
tool_calls         the function calls
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.responses.events import Json

# Between two messages of one response. A preamble that no call follows is rare,
# but must not run into the answer.
SEPARATOR = "\n\n"


def completion_of(response: Mapping[str, Any]) -> Json:
    """*response* has ended, completed or incomplete."""
    output = response["output"]
    parts = [part for item in output if item["type"] == "message" for part in item["content"]]
    return {
        "id": completion_id(response["id"]),
        "object": "chat.completion",
        "created": response["created_at"],
        "model": response["model"],
        "choices": [
            {
                "index": 0,
                "message": _message(output),
                "logprobs": logprobs_of(entry for part in parts for entry in part["logprobs"]),
                "finish_reason": finish_reason_of(response),
            }
        ],
        "usage": usage_of(response["usage"]),
        "service_tier": response["service_tier"],
        "system_fingerprint": None,
    }


def completion_id(response_id: str) -> str:
    return f"chatcmpl-{response_id.replace('-', '')}"


def finish_reason_of(response: Mapping[str, Any]) -> str:
    if response["status"] == "incomplete":
        return "length"
    called = any(item["type"] == "function_call" for item in response["output"])
    return "tool_calls" if called else "stop"


def usage_of(usage: Mapping[str, Any]) -> Json:
    return {
        "prompt_tokens": usage["input_tokens"],
        "completion_tokens": usage["output_tokens"],
        "total_tokens": usage["total_tokens"],
        "prompt_tokens_details": {
            "cached_tokens": usage["input_tokens_details"]["cached_tokens"],
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage["output_tokens_details"]["reasoning_tokens"],
        },
    }


def logprobs_of(entries: Iterable[Any]) -> Json | None:
    """None when there are none: most requests do not ask for them."""
    content = [
        {**_token(entry), "top_logprobs": [_token(each) for each in entry["top_logprobs"]]}
        for entry in entries
    ]
    return {"content": content, "refusal": None} if content else None


def reasoning_fields(text: str) -> Json:
    return {"reasoning_content": text, "reasoning": text}


def _message(output: Iterable[Mapping[str, Any]]) -> Json:
    texts: dict[str, list[str]] = {"message": [], "reasoning": []}
    calls: list[Json] = []
    for item in output:
        if item["type"] == "function_call":
            calls.append(tool_call(item))
        else:
            texts[item["type"]] += [part["text"] for part in item["content"]]
    message: Json = {
        "role": "assistant",
        "content": SEPARATOR.join(texts["message"]) or None,
        "refusal": None,
        "annotations": [],
    }
    if texts["reasoning"]:
        message |= reasoning_fields(SEPARATOR.join(texts["reasoning"]))
    if calls:
        message["tool_calls"] = calls
    return message


def tool_call(item: Mapping[str, Any]) -> Json:
    return {
        "id": item["call_id"],
        "type": "function",
        "function": {"name": item["name"], "arguments": item["arguments"]},
    }


def _token(entry: Mapping[str, Any]) -> Json:
    token = entry["token"]
    bytes_ = entry.get("bytes")
    # Events leave the bytes out; a part of a character is not to be had from its text.
    if bytes_ is None and "\ufffd" not in token:
        bytes_ = list(token.encode())
    return {"token": token, "logprob": entry["logprob"], "bytes": bytes_}
