"""From pydantic's errors to the API's: status, code, param, and a sentence.

The models of a request (`request.py`, `items.py`, `tools.py`) say what is
valid; this file says how it is told when something is not. Only the first
error is told: clients show one message, and fix one thing at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Never, TypeVar

from pydantic import BaseModel, ConfigDict, PlainValidator, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from gateway.responses.errors import MAX_PARAM_CHARS, ApiError, invalid_request, shortened

# Marks the tag of a union's branch in an error's location. Tags are ours, not
# the client's: "input", "=items", 0, "=message", "role" is input[0].role.
TAG = "="


class ApiModel(BaseModel):
    """An object of the API. Nulls are absent, unknown keys are ignored.

    llama-index sends a null for every field it does not use, and Codex sends
    fields of its own; refusing either would break them for nothing.

    The string below a field is its description in the API's reference, and so
    are the docstrings of the models: they speak to tenants.
    """

    model_config = ConfigDict(
        strict=True, frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if value is not None}
        return data


def refused(code: str, message: str, *, field: str = "") -> PydanticCustomError:
    """The error to raise in a validator. *field* is added to the location."""
    return PydanticCustomError(
        "refused", "{message}", {"message": message, "code": code, "field": field}
    )


def refuse(code: str, message: str, *, field: str = "") -> PlainValidator:
    """For a union's branch that is recognised only to be refused by name: Annotated[Never, ...].

    *message* may hold `{type}`, the type that the client gave.
    """

    def validator(value: object) -> Never:
        raise refused(code, message.format(type=_type_of(value)), field=field)

    return PlainValidator(validator)


def _type_of(value: object) -> str:
    if isinstance(value, dict) and isinstance(value.get("type"), str):
        name: str = value["type"]
        return name[:64]
    return "?"


Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], data: Mapping[str, object]) -> Model:
    """*data* as *model*. Raises ApiError: 400 naming the first field that is wrong."""
    try:
        return model.model_validate(data)
    except ValidationError as exc:
        # include_context carries the bounds; the input itself may be huge.
        raise _api_error(exc.errors(include_url=False)[0]) from exc


def _api_error(error: ErrorDetails) -> ApiError:
    context = error.get("ctx", {})
    param = shortened(_param(error["loc"]), MAX_PARAM_CHARS)
    kind = error["type"]
    if kind == "refused":
        if context["field"]:
            param = f"{param}.{context['field']}" if param else context["field"]
        return invalid_request(context["message"], code=context["code"], param=param)
    if kind == "missing":
        return invalid_request(
            f"Missing required parameter: '{param}'.",
            code="missing_required_parameter",
            param=param,
        )
    if kind == "extra_forbidden":
        return invalid_request(
            f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param
        )
    if kind in _EXPECTED:
        return invalid_request(
            f"Invalid type for '{param}': expected {_expected(kind, error['loc'])}, but got"
            f" {_described(error['input'])} instead.",
            code="invalid_type",
            param=param,
        )
    code, message = _out_of_bounds(kind, context)
    return invalid_request(f"Invalid '{param}': {message}", code=code, param=param)


def _out_of_bounds(kind: str, context: Mapping[str, Any]) -> tuple[str, str]:
    match kind:
        case "greater_than_equal":
            return (
                f"{_number(context['ge'])}_below_min_value",
                f"expected a value >= {context['ge']}.",
            )
        case "greater_than":
            return (
                f"{_number(context['gt'])}_below_min_value",
                f"expected a value > {context['gt']}.",
            )
        case "less_than_equal":
            return (
                f"{_number(context['le'])}_above_max_value",
                f"expected a value <= {context['le']}.",
            )
        case "too_short":
            return "empty_array", f"expected at least {context['min_length']} element(s)."
        case "too_long":
            return "array_above_max_length", f"expected at most {context['max_length']} elements."
        case "string_too_long":
            return "string_above_max_length", f"at most {context['max_length']} characters."
        case "string_too_short":
            return "empty_string", f"at least {context['min_length']} character(s)."
        case "string_pattern_mismatch":
            return "invalid_value", f"expected a string that matches {context['pattern']}."
        case "literal_error" | "enum":
            return "invalid_value", f"supported values are: {context['expected']}."
        case "finite_number":
            return "invalid_value", "expected a finite number."
        case _:
            return "invalid_value", "this value is not accepted here."


def _number(bound: float) -> str:
    """By the field's own type: a client may well write 3 where 3.0 is meant."""
    return "integer" if isinstance(bound, int) else "decimal"


_EXPECTED = {
    "bool_type": "a boolean",
    "dict_type": "an object",
    "float_type": "a number",
    "int_from_float": "an integer",
    "int_type": "an integer",
    "list_type": "an array",
    "model_attributes_type": "an object",
    "model_type": "an object",
    "string_type": "a string",
    "string_unicode": "a string",
}


def _expected(kind: str, location: tuple[int | str, ...]) -> str:
    # The branch for strings gets what is neither string nor array.
    return "a string or an array" if location[-1:] == ("=string",) else _EXPECTED[kind]


def _described(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def _param(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not part.startswith(TAG):
            path += f".{part}" if path else part
    return path
