"""Every error a tenant can get, as data: docs/errors.md and the OpenAPI document are made of it.

Status and type are those of the example, which is what the code really sends.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from gateway.responses import administration_errors, errors
from gateway.responses.errors import ApiError


class Occasion(enum.Enum):
    """When an error can come about; an operation says which of these it has."""

    ROUTING = enum.auto()  # before an operation is found: documented, but of no operation
    ANY = enum.auto()
    MODEL = enum.auto()  # a model is named
    QUERY = enum.auto()  # parameters of the query are read
    BODY = enum.auto()  # a body is read and validated
    ITEMS = enum.auto()  # the input is items, which a client may believe to be stored
    ADMINISTRATION = enum.auto()  # of the admin API alone
    GENERATION = enum.auto()  # tokens are counted, reserved, generated


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """A row of the table."""

    occasion: Occasion
    codes: tuple[str, ...]
    when: str  # in docs/errors.md; may be empty
    try_again: str
    example: ApiError

    @property
    def status(self) -> int:
        return self.example.status

    @property
    def type(self) -> str:
        return self.example.type


ERROR_TABLE = (
    ErrorKind(
        Occasion.ROUTING,
        ("invalid_http",),
        "what was sent is not HTTP",
        "no",
        errors.invalid_http(),
    ),
    ErrorKind(
        Occasion.QUERY,
        ("invalid_value", "missing_required_parameter", "array_above_max_length"),
        "a parameter after the `?` is wrong, or missing; `param` names it",
        "no",
        administration_errors.invalid_value("end_time", "it must be later than start_time."),
    ),
    ErrorKind(
        Occasion.BODY,
        ("invalid_json", "invalid_unicode"),
        "the body is not JSON, or holds half a character",
        "no",
        errors.invalid_request(
            "The body of the request is empty; a JSON object is expected.", code="invalid_json"
        ),
    ),
    ErrorKind(
        Occasion.BODY,
        (
            "invalid_type",
            "invalid_value",
            "missing_required_parameter",
            "empty_array",
            "empty_string",
            "array_above_max_length",
            "string_above_max_length",
            "object_above_max_properties",
            "integer_below_min_value",
            "integer_above_max_value",
            "decimal_below_min_value",
            "decimal_above_max_value",
        ),
        "a field is wrong; `param` names it",
        "no",
        errors.invalid_request(
            "Invalid 'temperature': expected a value <= 2.",
            code="decimal_above_max_value",
            param="temperature",
        ),
    ),
    ErrorKind(
        Occasion.BODY,
        (
            "unsupported_value",
            "unsupported_parameter",
            "unsupported_tool",
            "unsupported_item",
            "unsupported_content_type",
        ),
        "known, but not served; `param` names it",
        "no",
        errors.invalid_request(
            "'moderation' is not supported.", code="unsupported_parameter", param="moderation"
        ),
    ),
    ErrorKind(
        Occasion.BODY,
        ("invalid_json_schema",),
        "a schema of `text.format` or `tools` is too large, or cannot be enforced; the message"
        " says where and why",
        "no",
        errors.invalid_request(
            "Invalid schema for 'text.format.schema': Unimplemented keys: [\"not\"].",
            code="invalid_json_schema",
            param="text.format.schema",
        ),
    ),
    ErrorKind(
        Occasion.ITEMS,
        ("previous_response_not_found",),
        "responses are not stored",
        "no",
        errors.invalid_request(
            "Responses are not stored: send the whole conversation in 'input' instead of"
            " 'previous_response_id'.",
            code="previous_response_not_found",
            param="previous_response_id",
        ),
    ),
    ErrorKind(
        Occasion.ITEMS,
        ("invalid_encrypted_content",),
        "reasoning that was sealed for another project or model, or was changed",
        "no",
        errors.invalid_request(
            "The encrypted content of this reasoning cannot be read.",
            code="invalid_encrypted_content",
            param="input[0].encrypted_content",
        ),
    ),
    ErrorKind(
        Occasion.BODY,
        ("context_length_exceeded",),
        "the input leaves no room for an answer",
        "no",
        errors.context_length_exceeded("140000", 131_072),
    ),
    ErrorKind(
        Occasion.ANY,
        ("invalid_api_key",),
        "no key, or one that is unknown, revoked, expired or mistyped",
        "no",
        errors.missing_key(),
    ),
    ErrorKind(
        Occasion.ANY,
        ("project_forbidden",),
        "the key may not use the project, or there is none: the same answer",
        "no",
        errors.project_forbidden(),
    ),
    ErrorKind(
        Occasion.MODEL,
        ("model_forbidden",),
        "the policies of the key's bearer allow other models",
        "no",
        errors.model_forbidden("gpt-oss-120b"),
    ),
    ErrorKind(
        Occasion.MODEL,
        ("tier_forbidden",),
        "the policies of the key's bearer allow other values of `service_tier`",
        "no",
        errors.tier_forbidden("default"),
    ),
    ErrorKind(
        Occasion.ADMINISTRATION,
        ("permission_denied",),
        "no policy allows this on the admin API, or there is no such thing: the same answer",
        "no",
        administration_errors.permission_denied(),
    ),
    ErrorKind(
        Occasion.ADMINISTRATION,
        ("unknown_parameter",),
        "of the admin API: a field that it does not know; `param` names it",
        "no",
        errors.invalid_request(
            "Unknown parameter: 'limts'.", code="unknown_parameter", param="limts"
        ),
    ),
    ErrorKind(
        Occasion.ADMINISTRATION,
        ("no_such_object",),
        "of the admin API: there is no project, key, principal or policy with this id",
        "no",
        administration_errors.no_such("project", "prj_example"),
    ),
    ErrorKind(
        Occasion.ADMINISTRATION,
        ("no_prices",),
        "costs are asked for, and `GATEWAY_PRICES_FILE` is not set",
        "no",
        administration_errors.no_prices(),
    ),
    ErrorKind(
        Occasion.ADMINISTRATION,
        ("already_exists", "managed_object", "revoked_key", "wrong_pepper", "cannot_declare"),
        "of the admin API: it is there already; a file declares it; it was revoked;"
        " the pepper is another one; a file contradicts what there is",
        "no",
        administration_errors.already_exists("project", "prj_example"),
    ),
    ErrorKind(
        Occasion.MODEL,
        ("model_not_found",),
        "the model is not served",
        "no",
        errors.model_not_found("gpt-5", "gpt-oss-120b"),
    ),
    ErrorKind(
        Occasion.ITEMS,
        ("item_not_found",),
        "the input refers to an item instead of holding it",
        "no",
        ApiError(
            404,
            "invalid_request_error",
            "item_not_found",
            "Items are not persisted: send the item itself.",
            param="input[0].id",
        ),
    ),
    ErrorKind(
        # A project id or a model with a slash too many makes another path.
        Occasion.ANY,
        ("not_found",),
        "there is nothing at this path",
        "no",
        errors.not_found(),
    ),
    ErrorKind(
        Occasion.ROUTING,
        ("method_not_allowed",),
        "the path takes other methods; `Allow` names them",
        "no",
        errors.method_not_allowed("POST"),
    ),
    ErrorKind(
        Occasion.BODY,
        ("request_timeout",),
        "the request did not arrive in time: its head in `GATEWAY_HEADER_TIMEOUT_S`, its body in"
        " `GATEWAY_BODY_TIMEOUT_S`",
        "yes",
        errors.request_timeout(),
    ),
    ErrorKind(
        Occasion.BODY,
        ("request_too_large",),
        "the body is larger than `GATEWAY_MAX_BODY_BYTES`, or holds more than 250,000 values",
        "no",
        errors.body_too_large(16 * 1024 * 1024),
    ),
    ErrorKind(
        Occasion.BODY,
        ("unsupported_media_type",),
        "compressed, or not JSON",
        "no",
        errors.unsupported_media_type(
            "The body must be JSON: send it with the header 'Content-Type: application/json'."
        ),
    ),
    ErrorKind(
        Occasion.GENERATION,
        ("rate_limit_exceeded",),
        "a rate limit of the project or the key; `Retry-After` says when. With `x-should-retry: false`"
        " the request can never pass",
        "after Retry-After",
        ApiError(
            429,
            "rate_limit_error",
            "rate_limit_exceeded",
            "Rate limit reached for tokens per minute of your project. Please try again in 1.5s.",
        ),
    ),
    ErrorKind(
        Occasion.GENERATION,
        ("insufficient_quota",),
        "the budget of the day or the month, of the project or the key, does not cover the request;"
        " `Retry-After` says when it is renewed",
        "when it is renewed",
        ApiError(
            429,
            "insufficient_quota",
            "insufficient_quota",
            "The budget of tokens per day of your project does not cover this request."
            " It is renewed in 5h12m7s, when the day (UTC) is over. A smaller max_output_tokens may fit.",
        ),
    ),
    ErrorKind(
        Occasion.GENERATION,
        ("engine_overloaded",),
        "all workers are busy, and the request has waited too long or too many others wait already",
        "after Retry-After",
        errors.overloaded(),
    ),
    ErrorKind(
        Occasion.ANY,
        ("too_many_wrong_keys",),
        "many wrong keys have come from the same address, and this one is not known yet",
        "after Retry-After",
        errors.too_many_wrong_keys(),
    ),
    ErrorKind(
        Occasion.BODY,
        ("gateway_overloaded",),
        "more than `GATEWAY_MAX_BUFFERED_BYTES` of bodies are in memory, or a quarter of it for one"
        " project",
        "after Retry-After",
        errors.too_many_bodies(),
    ),
    ErrorKind(
        Occasion.ROUTING,
        ("request_headers_too_large",),
        "the head of the request is larger than 64 kB",
        "no",
        errors.headers_too_large(64 * 1024),
    ),
    ErrorKind(
        Occasion.GENERATION, ("model_error",), "the engine failed", "yes", errors.engine_failed()
    ),
    ErrorKind(
        Occasion.ANY,
        ("internal_error",),
        "a bug of ours; report the `x-request-id`",
        "perhaps",
        errors.internal_error(),
    ),
    ErrorKind(
        Occasion.GENERATION,
        ("insufficient_quota",),
        "the budget of the day or the month, of the project or the key, does not cover the request;"
        " `Retry-After` says when it is renewed",
        "when it is renewed",
        ApiError(
            429,
            "insufficient_quota",
            "insufficient_quota",
            "The budget of tokens per day of your project does not cover this request."
            " It is renewed in 5h12m7s, when the day (UTC) is over. A smaller max_output_tokens may fit.",
        ),
    ),
    ErrorKind(
        Occasion.GENERATION,
        ("engine_overloaded",),
        "no worker is reachable",
        "after Retry-After",
        errors.no_worker(),
    ),
    ErrorKind(
        Occasion.ADMINISTRATION,
        ("not_replicated",),
        "of the admin API: made, but fewer than `GATEWAY_REDIS_REPLICAS` replicas have it",
        "after Retry-After",
        administration_errors.not_replicated(),
    ),
    ErrorKind(
        Occasion.ANY,
        ("store_unavailable",),
        "Redis cannot be asked, so the quota is not known",
        "after Retry-After",
        errors.store_unavailable(),
    ),
    ErrorKind(
        Occasion.ANY,
        ("identity_provider_unavailable",),
        "the keys of the provider whose token was sent cannot be had",
        "after Retry-After",
        errors.identity_provider_unavailable(),
    ),
    ErrorKind(
        Occasion.ANY,
        ("shutting_down",),
        "this replica is being stopped, and its time is up; streams end with it as an event",
        "after Retry-After",
        errors.shutting_down(),
    ),
    ErrorKind(
        Occasion.GENERATION,
        ("timeout",),
        "no first token in `GATEWAY_FIRST_TOKEN_TIMEOUT_S`, or no end in `GATEWAY_MAX_DURATION_S`",
        "yes",
        errors.engine_timeout(),
    ),
)
