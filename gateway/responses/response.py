"""The response object: every key the API names, on every answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from gateway.quota.service_tier import ServiceTier
from gateway.quota.usage import Usage
from gateway.responses.dialect import ObjectName
from gateway.responses.events import Json
from gateway.responses.request import CreateResponse
from gateway.responses.tools import AllowedTools, NamedFunction

Status = Literal["in_progress", "completed", "incomplete", "failed"]


class ResponseObject:
    """Builds the response object of one request, in any of its states."""

    def __init__(
        self,
        request: CreateResponse,
        *,
        response_id: str,
        created_at: int,
        model: str,
        object_name: ObjectName = "chat.completion",
        service_tier: ServiceTier = ServiceTier.DEFAULT,
    ) -> None:
        """*created_at* is Unix time in seconds; *model* the name to answer under; *service_tier*
        as what the request is served."""
        self._object_name = object_name
        self.id = response_id
        self.model = model
        self._created_at = created_at
        self._echoed = _echoed(request, service_tier)

    def in_progress(self) -> Json:
        return self._object("in_progress")

    def ended(
        self,
        status: Literal["completed", "incomplete", "failed"],
        output: Sequence[Json],
        usage: Usage,
        *,
        completed_at: int | None = None,
        incomplete_reason: str | None = None,
        error: Json | None = None,
    ) -> Json:
        return self._object(
            status,
            output,
            usage=_usage(usage),
            completed_at=completed_at,
            incomplete_details={"reason": incomplete_reason} if incomplete_reason else None,
            error=error,
        )

    def _object(
        self,
        status: Status,
        output: Sequence[Json] = (),
        *,
        usage: Json | None = None,
        completed_at: int | None = None,
        incomplete_details: Json | None = None,
        error: Json | None = None,
    ) -> Json:
        return {
            "id": self.id,
            # openai-node fills output_text only for objects called "response",
            # so we send it ourselves.
            "object": self._object_name,
            "created_at": self._created_at,
            "completed_at": completed_at,
            "status": status,
            "incomplete_details": incomplete_details,
            "error": error,
            "model": self.model,
            "output": list(output),
            "output_text": _output_text(output),
            **self._echoed,
            "usage": usage,
        }


def _output_text(output: Sequence[Json]) -> str:
    texts: list[str] = []
    for item in output:
        if item["type"] == "message":
            parts = item["content"]
            assert isinstance(parts, list)
            texts += [part["text"] for part in parts if part["type"] == "output_text"]
    return "".join(texts)


def _usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            # Writing to the prefix cache costs a tenant nothing; openai 3.x requires the key.
            "cache_write_tokens": 0,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _echoed(request: CreateResponse, service_tier: ServiceTier) -> Json:
    """What the response repeats of its request, defaults filled in, in the document's order."""
    return {
        "background": False,
        "frequency_penalty": request.frequency_penalty,
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": request.max_tool_calls,
        "metadata": request.metadata,
        "parallel_tool_calls": True,
        "presence_penalty": request.presence_penalty,
        "previous_response_id": None,
        "prompt_cache_key": request.prompt_cache_key,
        "reasoning": {
            "effort": request.reasoning.effective_effort.value,
            "summary": request.reasoning.summary or request.reasoning.generate_summary,
        },
        "safety_identifier": request.safety_identifier,
        "service_tier": service_tier.value,
        "store": False,
        "temperature": request.temperature,
        "text": {
            "format": request.text.format.echoed(),
            "verbosity": request.text.verbosity,
        },
        "tool_choice": _tool_choice(request),
        "tools": [tool.echoed() for tool in request.tools],
        "top_logprobs": request.top_logprobs,
        "top_p": request.top_p,
        "truncation": "disabled",
        "user": request.user,
    }


def _tool_choice(request: CreateResponse) -> object:
    match request.tool_choice:
        case NamedFunction(name=name):
            return {"type": "function", "name": name}
        case AllowedTools() as allowed:
            return {
                "type": "allowed_tools",
                "mode": allowed.mode,
                "tools": [{"type": "function", "name": tool.name} for tool in allowed.tools],
            }
        case mode:
            return mode if request.tools else "none"
