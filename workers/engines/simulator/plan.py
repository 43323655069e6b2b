"""Everything the simulator will say in one generation, decided before its first token.

Deterministic where an engine is: temperature 0, or a seed. presence_penalty and
frequency_penalty have no effect.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from llguidance import LLMatcher

from wire import vocabulary
from workers.engine import (
    Ending,
    EngineRequest,
    Function,
    LengthReached,
    OutputConstraint,
    Sampling,
    Stopped,
)
from workers.engines.simulator import prose
from workers.engines.simulator.constrained import Candidates, ConstrainedWriter, LastMessage
from workers.engines.simulator.continuation import continuation
from workers.engines.simulator.conversation import (
    PromptMessage,
    effort,
    has_tool_result,
    last_user_text,
    read_messages,
)
from workers.engines.simulator.directives import Directives, read_directives, without_directives
from workers.engines.simulator.instance import instance, response_schema
from workers.engines.simulator.logprobs import Logprobs
from workers.engines.simulator.tokenizer import Tokenizer
from workers.engines.simulator.tools import ToolCall, first_tool_call

# Where a final message broke off that this worker would not have written.
_LAST_WORDS = " And so on."


@dataclass(frozen=True, slots=True)
class Plan:
    """One generation, to its end. Of a turn that another worker began: what is left of it."""

    token_ids: Sequence[int]
    ending: Ending
    directives: Directives
    logprobs: Logprobs | None = None  # None: none are wanted


class Planner:
    """Requests -> plans."""

    def __init__(self, tokenizer: Tokenizer, *, obey_directives: bool) -> None:
        self._tokenizer = tokenizer
        self._candidates = Candidates(tokenizer)
        # Sorted: the order of a set is no matter of the seed.
        self._text_ids = sorted(set(tokenizer.encode(prose.vocabulary_of_prose())))
        self._obey_directives = obey_directives

    def plan(
        self,
        request: EngineRequest,
        matcher: LLMatcher | None = None,
        *,
        follow_s: float = math.inf,
    ) -> Plan:
        """Plan one generation.

        Args:
            matcher: of the request's constraint, if it has one.
            follow_s: CPU time to follow it at most.

        Raises:
            InvalidRequest: a directive is wrong, or the constraint cannot be followed.
        """
        # As it was before anything was generated: what is said depends on that.
        prompt, begun = request.prompt[: request.turn_begins_at], request.begun
        messages = read_messages(prompt, self._tokenizer)
        directives = read_directives(messages) if self._obey_directives else Directives()
        rng = _random(request.sampling, prompt, "text")
        script = self._script(messages, directives, rng, request.constraint)
        if begun:
            script = continuation(
                begun, script, self._tokenizer, last_words=self._tokenizer.encode(_LAST_WORDS)
            )
        if request.constraint is not None and matcher is not None:
            writer = ConstrainedWriter(
                matcher,
                self._tokenizer,
                self._candidates,
                rng,
                begun=begun,
                max_tokens=request.max_tokens,
                follow_s=follow_s,
            )
            script = writer.write(script, self._last_message(request.constraint))
        token_ids, ending = _cut(script, request)
        logprobs = self._logprobs(request.top_logprobs, request.sampling, prompt, begun)
        return Plan(token_ids, ending, directives.behind(len(begun)), logprobs)

    def _script(
        self,
        messages: Sequence[PromptMessage],
        directives: Directives,
        rng: random.Random,
        constraint: OutputConstraint | None,
    ) -> list[int]:
        """What the model would say with max_tokens to spare."""
        if directives.raw is not None:
            return self._tokenizer.encode_harmony(directives.raw)
        thought = directives.reasoning
        if thought is None:
            thought = prose.thought(rng, effort(messages))
        analysis = self._analysis(thought) if thought else []
        call = _call(messages, constraint)
        if call is not None and directives.text is None:
            return [*analysis, *self._call(call)]
        text = directives.text
        if text is None:
            text = self._final_text(messages, rng, constraint)
        return [*analysis, *self._final(text, directives.repeat)]

    def _final_text(
        self,
        messages: Sequence[PromptMessage],
        rng: random.Random,
        constraint: OutputConstraint | None,
    ) -> str:
        if constraint is not None and constraint.final_schema_json:
            return _instance_text(constraint.final_schema_json)
        if (schema := response_schema(messages)) is not None:
            return _compact(instance(schema))
        question = last_user_text(messages)
        return prose.answer(
            rng, without_directives(question) if self._obey_directives else question
        )

    def _last_message(self, constraint: OutputConstraint) -> LastMessage:
        """The plainest end of a turn that *constraint* allows."""
        if constraint.call_required:
            ids = self._call(_call_of(constraint.functions[0]))
        else:
            schema = constraint.final_schema_json
            ids = self._final(_instance_text(schema) if schema else prose.SHORT_ANSWER, None)
        body = ids.index(vocabulary.MESSAGE) + 1
        return LastMessage(ids[:body], ids[body:])

    def _logprobs(
        self,
        top: int | None,
        sampling: Sampling,
        prompt: Sequence[int],
        begun: Sequence[int],
    ) -> Logprobs | None:
        if top is None:
            return None
        logprobs = Logprobs(
            _random(sampling, prompt, "logprobs"),
            others=self._text_ids,
            top=top,
            greedy=sampling.temperature == 0,
        )
        logprobs.of(begun)  # drawn, and told by somebody else
        return logprobs

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


def _call(
    messages: Sequence[PromptMessage], constraint: OutputConstraint | None
) -> ToolCall | None:
    """The call to make; None for an answer."""
    if constraint is not None and constraint.call_required:
        return _call_of(constraint.functions[0])
    if has_tool_result(messages):
        return None
    if constraint is None:
        return first_tool_call(messages)
    return _call_of(constraint.functions[0]) if constraint.functions else None


def _call_of(function: Function) -> ToolCall:
    schema = json.loads(function.parameters_json or "{}")
    arguments = instance({"type": "object", **schema})
    return ToolCall(function.name, arguments)


def _instance_text(schema_json: str) -> str:
    return _compact(instance(json.loads(schema_json)))


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _random(sampling: Sampling, prompt: Sequence[int], purpose: str) -> random.Random:
    if sampling.temperature == 0:
        key: object = "greedy"
    elif sampling.seed is not None:
        key = sampling
    else:
        return random.Random()
    digest = hashlib.blake2b(array("i", prompt).tobytes() + repr((purpose, key)).encode())
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
