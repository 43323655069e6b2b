"""GET /v1/models and /v1/models/{model}, described."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.openapi import answers
from gateway.openapi.operation import Example, Json, Operation
from gateway.responses.error_table import Occasion

_MODEL: Json = {
    "id": "gpt-oss-120b",
    "object": "model",
    "created": 1_795_305_600,
    "owned_by": "openai",
}


def _list_examples() -> Mapping[str, Example]:
    return {"models": Example("The models", {"object": "list", "data": [_MODEL]})}


def _model_examples() -> Mapping[str, Example]:
    return {"model": Example("A model", _MODEL)}


LIST_MODELS = Operation(
    id="listModels",
    tag="Models",
    method="GET",
    path="/v1/models",
    summary="List the models",
    description="The models that are served here.",
    answer=answers.ModelList,
    answer_examples=_list_examples,
    occasions=frozenset({Occasion.ANY}),
)

RETRIEVE_MODEL = Operation(
    id="retrieveModel",
    tag="Models",
    method="GET",
    path="/v1/models/{model:path}",
    summary="Retrieve a model",
    description="A model, by its name or an alias of it.",
    path_parameters={"model": "The name of the model; it may hold slashes."},
    answer=answers.Model,
    answer_examples=_model_examples,
    occasions=frozenset({Occasion.ANY, Occasion.MODEL}),
)
