"""POST /v1/responses/input_tokens, described."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from gateway.openapi import answers
from gateway.openapi.example_answers import MODEL
from gateway.openapi.operation import Example, Operation, RequestBody
from gateway.openapi.responses_operation import REQUESTS
from gateway.responses.error_table import Occasion
from gateway.responses.request import CreateResponse


class CountInputTokens(CreateResponse):
    """A request for a response, which is counted and not answered."""

    model: Annotated[str, Field(min_length=1)] = MODEL
    """The model; may be left out, for there is but one."""


def _answer_examples() -> Mapping[str, Example]:
    answer = {"object": "response.input_tokens", "input_tokens": 72}
    return {"count": Example("A count", answer)}


COUNT_INPUT_TOKENS = Operation(
    id="countInputTokens",
    tag="Responses",
    method="POST",
    path="/v1/responses/input_tokens",
    summary="Count the tokens of an input",
    description="How long the prompt of a request is, exactly. Nothing is generated or charged.",
    request=RequestBody(CountInputTokens, {"plain": Example("A question", REQUESTS["plain"])}),
    answer=answers.InputTokens,
    answer_examples=_answer_examples,
    occasions=frozenset({Occasion.ANY, Occasion.MODEL, Occasion.BODY, Occasion.ITEMS}),
)
