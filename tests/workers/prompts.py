"""Prompts as the gateway renders them."""

from __future__ import annotations

from workers.engine import GREEDY, EngineRequest, OutputConstraint, Sampling
from workers.engines.simulator.tokenizer import Tokenizer

STOP_TOKEN_IDS = (200002, 200012)

WEATHER = """\
# Tools

## functions

namespace functions {

// Where it rains.
// type decoy = (_: {
type get_weather = (_: {
// The city: a name.
city: string,
days: number, // default: 3
unit: "c" | "f",
hourly: boolean,
note?: string,
where: {
    lat: number,
    exact?: boolean,
    },
points: {
    lat: number,
    }[],
tags: string[],
who:
 | {
   id: string,
   }
 | null
,
}) => any;

type now = () => any;

} // namespace functions"""


def harmony(*messages: tuple[str, str], effort: str = "low") -> str:
    """(header, text) -> a prompt, control tokens spelled."""
    system = f"You are ChatGPT.\n\nReasoning: {effort}\n\n# Valid channels: analysis, final."
    rendered = [
        f"<|start|>{header}<|message|>{text}<|end|>"
        for header, text in (("system", system), *messages)
    ]
    return "".join(rendered) + "<|start|>assistant"


def user(text: str, *, effort: str = "low") -> str:
    return harmony(("user", text), effort=effort)


def engine_request(
    tokenizer: Tokenizer,
    prompt: str,
    *,
    max_tokens: int = 1000,
    sampling: Sampling = GREEDY,
    cache_salt: str = "",
    constraint: OutputConstraint | None = None,
    top_logprobs: int | None = None,
) -> EngineRequest:
    return EngineRequest(
        request_id="r-1",
        prompt=tokenizer.encode_harmony(prompt),
        max_tokens=max_tokens,
        sampling=sampling,
        stop_token_ids=frozenset(STOP_TOKEN_IDS),
        cache_salt=cache_salt,
        constraint=constraint,
        top_logprobs=top_logprobs,
    )
