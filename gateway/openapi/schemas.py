"""From the models that validate requests, and those that describe answers, to JSON Schema.

Differs from what pydantic writes where our models are more than their types say:

- Every field of a request takes null, which is the same as leaving it out.
- Branches of a union that exist only to refuse something by name are left out.
- A union that picks its branch by code is an anyOf: a message without a type and
  a reference without a type are told apart by more than a schema can say.
- Some objects may be written shorter, or in the form of chat completions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import PydanticOmit, core_schema

from gateway.responses.items import MessageItem
from gateway.responses.tools import FunctionTool, NamedFunction
from gateway.responses.validation import ApiModel

REF = "#/components/schemas/{model}"

# Other ways to write an object, which a validator turns into the object before
# it is looked at. In a schema they stand beside it, wherever it may stand.
_CHAT_FORM: JsonSchemaValue = {
    "type": "object",
    "description": "The form of chat completions.",
    "properties": {
        "type": {"const": "function"},
        "function": {
            "type": "object",
            "properties": {"name": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,128}$"}},
            "required": ["name"],
        },
    },
    "required": ["type", "function"],
}
_OTHER_FORMS: dict[str, JsonSchemaValue] = {
    f"{model.__module__}.{model.__qualname__}": form
    for model, form in (
        (MessageItem, {"type": "string", "description": "A message of the user's."}),
        (FunctionTool, _CHAT_FORM),
        (NamedFunction, _CHAT_FORM),
    )
}


def schemas_of(models: Iterable[type[BaseModel]]) -> dict[str, JsonSchemaValue]:
    """The schemas of *models* and of all they consist of, by name."""
    _, document = models_json_schema(
        [(model, "validation") for model in models],
        ref_template=REF,
        schema_generator=_Generator,
    )
    return cast(dict[str, JsonSchemaValue], document["$defs"])


class _Generator(GenerateJsonSchema):
    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        described = super().model_schema(schema)
        described.pop("title", None)
        if description := described.get("description"):
            described["description"] = _one_line(description)
        for name, field in described.get("properties", {}).items():
            if "description" in field:
                field["description"] = _one_line(field["description"])
            # Nested defaults are described where they are, and null is no news.
            if "default" in field and (field["default"] is None or _is_filled(field["default"])):
                del field["default"]
            if issubclass(schema["cls"], ApiModel) and name not in described.get("required", ()):
                described["properties"][name] = _nullable(field)
        return described

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def function_plain_schema(self, schema: Any) -> JsonSchemaValue:
        # Annotated[Never, refuse(...)].
        raise PydanticOmit

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        choices = super().tagged_union_schema(schema)
        branches = choices.get("oneOf", [choices])
        for choice in schema["choices"].values():
            if other := _OTHER_FORMS.get(_name_of_model(choice)):
                branches = [*branches, other]
        return {"anyOf": branches} if len(branches) > 1 else branches[0]


def _name_of_model(choice: Any) -> str:
    """With its module; empty if *choice* is no model."""
    if not isinstance(choice, dict):
        return ""
    reference: str = choice.get("schema_ref") or choice.get("ref") or ""
    return reference.partition(":")[0]


def _nullable(schema: JsonSchemaValue) -> JsonSchemaValue:
    """*schema*, or null. Its description and default stay where a reader looks for them."""
    about: JsonSchemaValue = {
        key: schema[key] for key in ("description", "default") if key in schema
    }
    schema = {key: value for key, value in schema.items() if key not in about}
    if not schema or schema.get("type") == "null":
        return {**schema, **about}
    if "anyOf" in schema:
        branches = schema["anyOf"]
        if {"type": "null"} not in branches:
            branches = [*branches, {"type": "null"}]
        return {"anyOf": branches, **about}
    if isinstance(schema.get("type"), str) and not {"enum", "const"} & schema.keys():
        return {**schema, "type": [schema["type"], "null"], **about}
    return {"anyOf": [schema, {"type": "null"}], **about}


def _is_filled(default: object) -> bool:
    return isinstance(default, dict) and bool(default)


def _one_line(text: str) -> str:
    """Descriptions are wrapped in the source only."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
