"""GET /v1/limits and /v1/usage, described: what applies to the caller, and what was used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from gateway.openapi.answers import AnswerModel, Count
from gateway.openapi.operation import Example, Json, Operation, QueryParameter
from gateway.responses.error_table import Occasion


class LimitValues(AnswerModel):
    """Limits; null is none."""

    requests_per_minute: int | None
    """Requests that are admitted in a minute."""
    tokens_per_minute: int | None
    """Input and output tokens in a minute."""
    input_tokens_per_minute: int | None
    """Input tokens in a minute."""
    output_tokens_per_minute: int | None
    """Output tokens in a minute."""
    concurrent_requests: int | None
    """Requests in flight at once."""
    daily_tokens: int | None
    """The budget of a day, UTC: input and output tokens."""
    monthly_tokens: int | None
    """The budget of a month, UTC: input and output tokens."""
    rate_mode: Literal["hard", "shadow"]
    """`shadow`: what exceeds the limits of a minute is counted, and served."""
    daily_mode: Literal["hard", "soft", "shadow"]
    """`hard`: never exceeded; `soft`: refused once it is spent; `shadow`: only counted."""
    monthly_mode: Literal["hard", "soft", "shadow"]
    """As `daily_mode`."""


class UsedValues(AnswerModel):
    """What is used of the budgets, and in flight."""

    daily_tokens: Count
    """Tokens of this day, UTC, that were charged."""
    monthly_tokens: Count
    """Tokens of this month, UTC, that were charged."""
    concurrent_requests: Count | None
    """Requests in flight; null where they are not counted, for keys without such a limit."""


class ReservedValues(AnswerModel):
    """What requests in flight hold of the budgets, and give back if they do not use it."""

    daily_tokens: Count
    """Tokens of this day's budget."""
    monthly_tokens: Count
    """Tokens of this month's budget."""


class ScopeLimits(AnswerModel):
    """The limits of a project or a key, and how they stand."""

    id: str
    """The project's id, or the key's."""
    limits: LimitValues
    """What it may use."""
    used: UsedValues
    """What it has used."""
    reserved: ReservedValues
    """What is held for requests in flight."""


class CallerLimits(AnswerModel):
    """A request needs room under the limits of its project and of its key."""

    object: Literal["limits"]
    """Always `limits`."""
    project: ScopeLimits
    """The project's."""
    api_key: ScopeLimits | None
    """The key's own; null for tokens of an identity provider, which have none."""


class UsageResult(AnswerModel):
    """What was used in a bucket."""

    object: Literal["organization.usage.completions.result"]
    """Always that."""
    input_tokens: Count
    """Input tokens, cached ones included."""
    output_tokens: Count
    """Output tokens, reasoning included."""
    input_cached_tokens: Count
    """Input tokens that a cache held."""
    input_uncached_tokens: Count
    """Input tokens that no cache held."""
    input_text_tokens: Count
    """The uncached ones once more: all of it is text."""
    input_cached_text_tokens: Count
    """The cached ones once more."""
    output_text_tokens: Count
    """The output once more."""
    input_audio_tokens: Literal[0]
    """Always 0."""
    output_audio_tokens: Literal[0]
    """Always 0."""
    input_image_tokens: Literal[0]
    """Always 0."""
    output_image_tokens: Literal[0]
    """Always 0."""
    input_cached_audio_tokens: Literal[0]
    """Always 0."""
    input_cached_image_tokens: Literal[0]
    """Always 0."""
    input_cache_write_tokens: Literal[0]
    """Always 0."""
    input_cache_write_30m_tokens: Literal[0]
    """Always 0."""
    input_cache_write_12h_tokens: Literal[0]
    """Always 0."""
    output_reasoning_tokens: Count
    """Output tokens that were reasoning."""
    num_model_requests: Count
    """Responses that were charged."""
    project_id: str | None
    """Null unless grouped by it."""
    user_id: str | None
    """The principal that bears the key; null unless grouped by it."""
    api_key_id: str | None
    """Null unless grouped by it."""
    model: str | None
    """Null unless grouped by it."""
    batch: None
    """Always null."""
    service_tier: None
    """Always null."""
    api_source: None
    """Always null."""


class UsageBucket(AnswerModel):
    """A minute, an hour or a day."""

    object: Literal["bucket"]
    """Always `bucket`."""
    start_time: int
    """Unix time in seconds, UTC."""
    end_time: int
    """Where the next one begins."""
    final: bool
    """Whether nothing of it can change any more: a response is counted when it began."""
    results: list[UsageResult]
    """One for each group; none if nothing was used."""


class UsagePage(AnswerModel):
    """Buckets, in their order."""

    object: Literal["page"]
    """Always `page`."""
    data: list[UsageBucket]
    """All buckets of the page, empty ones as well."""
    has_more: bool
    """Whether there is another page."""
    next_page: str | None
    """Ask for it with `page`."""
    scope: Literal["project", "api_key"]
    """`api_key`: the key may see its own usage only."""


_MOMENT: Json = {"type": "integer", "minimum": 0, "maximum": 10**11}
_LIMITS: Json = {
    "requests_per_minute": 600,
    "tokens_per_minute": 500_000,
    "input_tokens_per_minute": None,
    "output_tokens_per_minute": None,
    "concurrent_requests": 50,
    "daily_tokens": None,
    "monthly_tokens": 2_000_000_000,
    "rate_mode": "hard",
    "daily_mode": "hard",
    "monthly_mode": "hard",
}
_NO_LIMITS: Json = {
    name: value if isinstance(value, str) else None for name, value in _LIMITS.items()
}


def _limits_examples() -> Mapping[str, Example]:
    return {
        "limits": Example(
            "A project with a budget",
            {
                "object": "limits",
                "project": {
                    "id": "prj_5GmXw3Yk1ZrQb8TnLd0VuE",
                    "limits": _LIMITS,
                    "used": {
                        "daily_tokens": 81_024,
                        "monthly_tokens": 1_204_551,
                        "concurrent_requests": 2,
                    },
                    "reserved": {"daily_tokens": 8_192, "monthly_tokens": 8_192},
                },
                "api_key": {
                    "id": "8fKq2LxZ0aPwT3mB",
                    "limits": _NO_LIMITS,
                    "used": {
                        "daily_tokens": 81_024,
                        "monthly_tokens": 1_204_551,
                        "concurrent_requests": None,
                    },
                    "reserved": {"daily_tokens": 8_192, "monthly_tokens": 8_192},
                },
            },
        )
    }


def _usage_examples() -> Mapping[str, Example]:
    return {
        "usage": Example(
            "A day",
            {
                "object": "page",
                "data": [
                    {
                        "object": "bucket",
                        "start_time": 1_795_305_600,
                        "end_time": 1_795_392_000,
                        "final": False,
                        "results": [
                            {
                                "object": "organization.usage.completions.result",
                                "input_tokens": 60_100,
                                "output_tokens": 20_924,
                                "input_cached_tokens": 41_984,
                                "input_uncached_tokens": 18_116,
                                "input_text_tokens": 18_116,
                                "input_cached_text_tokens": 41_984,
                                "output_text_tokens": 20_924,
                                "input_audio_tokens": 0,
                                "output_audio_tokens": 0,
                                "input_image_tokens": 0,
                                "output_image_tokens": 0,
                                "input_cached_audio_tokens": 0,
                                "input_cached_image_tokens": 0,
                                "input_cache_write_tokens": 0,
                                "input_cache_write_30m_tokens": 0,
                                "input_cache_write_12h_tokens": 0,
                                "output_reasoning_tokens": 9_310,
                                "num_model_requests": 112,
                                "project_id": None,
                                "user_id": None,
                                "api_key_id": None,
                                "model": None,
                                "batch": None,
                                "service_tier": None,
                                "api_source": None,
                            }
                        ],
                    }
                ],
                "has_more": False,
                "next_page": None,
                "scope": "project",
            },
        )
    }


RETRIEVE_LIMITS = Operation(
    id="retrieveLimits",
    tag="Account",
    method="GET",
    path="/v1/limits",
    summary="See your limits",
    description="The limits of the project and of the key, and what is used of the budgets.",
    answer=CallerLimits,
    answer_examples=_limits_examples,
    occasions=frozenset({Occasion.ANY}),
)

LIST_USAGE = Operation(
    id="listUsage",
    tag="Account",
    method="GET",
    path="/v1/usage",
    summary="See what was used",
    description="Tokens and requests by minute, hour or day, in the shape of OpenAI's usage API:"
    " of the project if the key may see it (`GenerativeApisFullAccess`, `UsageReadOnly`), else of"
    " the key itself.",
    answer=UsagePage,
    answer_examples=_usage_examples,
    occasions=frozenset({Occasion.ANY, Occasion.QUERY}),
    query_parameters={
        "start_time": QueryParameter(
            "Unix time in seconds; the bucket that holds it is the first.", _MOMENT, required=True
        ),
        "end_time": QueryParameter(
            "Unix time in seconds that the last bucket begins before; now.", _MOMENT
        ),
        "bucket_width": QueryParameter("`1d`, unless you say.", {"enum": ["1m", "1h", "1d"]}),
        "limit": QueryParameter(
            "Buckets a page: 60, 24 or 7 by their width; at most 1440, 168 or 31.",
            {"type": "integer", "minimum": 1, "maximum": 1440},
        ),
        "page": QueryParameter("`next_page` of the page before.", {"type": "string"}),
        "group_by": QueryParameter(
            "`model`, `api_key_id` or `project_id`; several with commas.", {"type": "string"}
        ),
        "models": QueryParameter("Only these models.", {"type": "string"}),
        "api_key_ids": QueryParameter("Only these keys.", {"type": "string"}),
    },
)
