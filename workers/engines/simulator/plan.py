"""Everything the simulator will say in one generation, decided before its first token.

Deterministic where an engine is: temperature 0, or a seed.
"""

from __future__ import annotations

import hashlib
import json
import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from wire import vocabulary
from workers.engine import Ending, EngineRequest, LengthReached, Stopped
from workers.engines.simulator import prose
from workers.engines.simulator.conversation import (
    PromptMessage,
    effort,
    has_tool_result,
    last_user_text,
    read_messages,
)
from workers.engines.simulator.directives import Directives, read_directives, without_directives
from workers.engines.simulator.instance import instance, response_schema
from workers.engines.simulator.tokenizer import Tokenizer
from workers.engines.simulator.tools import ToolCall, first_tool_call


@dataclass(frozen=True, slots=True)
class Plan:
    """One generation, to its end."""

    token_ids: Sequence[int]
    ending: Ending
    directives: Directives


class Planner:
    """Requests -> plans."""

    def __init__(self, tokenizer: Tokenizer, *, obey_directives: bool) -> None:
        self._tokenizer = tokenizer
        self._obey_directives = obey_directives

    def plan(self, request: EngineRequest) -> Plan:
        """Raises InvalidRequest: a directive is wrong."""
        messages = read_messages(request.prompt, self._tokenizer)
        directives = read_directives(messages) if self._obey_directives else Directives()
        script = self._script(messages, directives, _random(request))
        token_ids, ending = _cut(script, request)
        return Plan(token_ids, ending, directives)

    def _script(
        self, messages: Sequence[PromptMessage], directives: Directives, rng: random.Random
    ) -> list[int]:
        """What the model would say with max_tokens to spare."""
        if directives.raw is not None:
            return self._tokenizer.encode_harmony(directives.raw)
        thought = directives.reasoning
        if thought is None:
            thought = prose.thought(rng, effort(messages))
        analysis = self._analysis(thought) if thought else []
        call = None if has_tool_result(messages) else first_tool_call(messages)
        if call is not None and directives.text is None:
            return [*analysis, *self._call(call)]
        text = directives.text
        if text is None:
            text = self._final_text(messages, rng)
        return [*analysis, *self._final(text, directives.repeat)]

    def _final_text(self, messages: Sequence[PromptMessage], rng: random.Random) -> str:
        if (schema := response_schema(messages)) is not None:
            return _compact(instance(schema))
        question = last_user_text(messages)
        return prose.answer(
            rng, without_directives(question) if self._obey_directives else question
        )

    # The prompt ends with `<|start|>assistant`: the first header goes on from there.

    def _analysis(self, text: str) -> list[int]:
        return [
            *self._header("analysis"),
            *self._tokenizer.encode(text),
            vocabulary.END,
            vocabulary.START,
            *self._tokenizer.encode("assistant"),
        ]

    def _call(self, call: ToolCall) -> list[int]:
        return [
            vocabulary.CHANNEL,
            *self._tokenizer.encode(f"commentary to=functions.{call.name} "),
            vocabulary.CONSTRAIN,
            *self._tokenizer.encode("json"),
            vocabulary.MESSAGE,
            *self._tokenizer.encode(_compact(call.arguments)),
            vocabulary.CALL,
        ]

    def _final(self, text: str, repeat: int | None) -> list[int]:
        body = self._tokenizer.encode(text)
        if repeat is not None and body:
            body = [*body, *self._tokenizer.encode(" " + text) * (repeat // len(body))][:repeat]
        return [*self._header("final"), *body, vocabulary.RETURN]

    def _header(self, channel: str) -> list[int]:
        return [vocabulary.CHANNEL, *self._tokenizer.encode(channel), vocabulary.MESSAGE]


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _random(request: EngineRequest) -> random.Random:
    sampling = request.sampling
    if sampling.temperature == 0:
        key: object = "greedy"
    elif sampling.seed is not None:
        key = sampling
    else:
        return random.Random()
    digest = hashlib.blake2b(array("i", request.prompt).tobytes() + repr(key).encode())
    return random.Random(digest.digest())


def _cut(script: list[int], request: EngineRequest) -> tuple[list[int], Ending]:
    """The script up to the first stop token or max_tokens.

    A script without a stop token, which only a directive can order, ends as
    LengthReached: a real model would ramble on until then.
    """
    token_ids = script[: request.max_tokens]
    for index, token_id in enumerate(token_ids):
        if token_id in request.stop_token_ids:
            return token_ids[: index + 1], Stopped(token_id)
    return token_ids, LengthReached()
