"""Pages of usage in OpenAI's shape, for operators and for tenants."""

from __future__ import annotations

import base64
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.datastructures import QueryParams

from gateway.asgi import query
from gateway.quota.usage import Usage
from gateway.responses import administration_errors
from gateway.store.usage_buckets import (
    GROUPINGS,
    WIDTHS_S,
    Group,
    UsageBuckets,
    Width,
)

Json = dict[str, object]
# From projects to who bears which of their keys, by kid.
Owners = Callable[[Sequence[str]], Awaitable[Mapping[str, str]]]
# What OpenAI's results have and a model of text has not.
_NONE_OF_IT = (
    *("input_audio_tokens", "output_audio_tokens", "input_image_tokens", "output_image_tokens"),
    *("input_cached_audio_tokens", "input_cached_image_tokens"),
    *("input_cache_write_tokens", "input_cache_write_30m_tokens", "input_cache_write_12h_tokens"),
)

# By width: how many buckets a page has if nobody says, and at most. As OpenAI.
PAGES: Mapping[Width, tuple[int, int]] = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}
# After so long nothing of a bucket changes any more: the longest stream, its lease, its replay.
FINAL_AFTER_S = 3600


@dataclass(frozen=True, slots=True)
class Period:
    """The buckets of one page, and of the pages that follow."""

    start: int  # of this page, Unix time, s
    end: int
    whole_end: int


async def usage_page(
    buckets: UsageBuckets,
    asked: QueryParams,
    project_ids: Sequence[str],
    *,
    kids: Sequence[str] | None = None,
    owners_of: Owners | None = None,
) -> Json:
    """The buckets that the query names; only of *kids*, if they are given.

    *owners_of*: who bears the keys of these projects; asked when principals are asked for.
    Raises ApiError: 400.
    """
    width = query.choice(asked, "bucket_width", tuple(WIDTHS_S), default="1d")
    period = period_of(asked, width, PAGES[width])
    # OpenAI's clients may ask to group by what there is one of, or none.
    group_by = query.choices(asked, "group_by", (*GROUPINGS, "batch", "service_tier", "api_source"))
    user_ids = query.words(asked, "user_ids")
    owners: Mapping[str, str] = {}
    if owners_of is not None and (user_ids or "user_id" in group_by):
        owners = await owners_of(project_ids)
    found = await buckets.read(
        project_ids,
        start=period.start,
        end=period.end,
        width=width,
        group_by=[each for each in GROUPINGS if each in group_by],
        kids=query.words(asked, "api_key_ids") if kids is None else kids,
        models=query.words(asked, "models"),
        owners=owners,
        user_ids=user_ids,
    )
    now = time.time()
    data: list[Json] = [
        {
            "object": "bucket",
            "start_time": bucket.start,
            "end_time": bucket.end,
            "final": bucket.end + FINAL_AFTER_S < now,
            "results": [usage_result(group, *sums) for group, sums in bucket.sums.items()],
        }
        for bucket in found
    ]
    return page_of(data, period)


def usage_result(group: Group, requests: int, usage: Usage) -> Json:
    """OpenAI's fields, and of ours the reasoning."""
    uncached = usage.input_tokens - usage.cached_tokens
    return {
        "object": "organization.usage.completions.result",
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "input_cached_tokens": usage.cached_tokens,
        "input_uncached_tokens": uncached,
        # All of it is text.
        "input_text_tokens": uncached,
        "input_cached_text_tokens": usage.cached_tokens,
        "output_text_tokens": usage.output_tokens,
        **dict.fromkeys(_NONE_OF_IT, 0),
        "output_reasoning_tokens": usage.reasoning_tokens,
        "num_model_requests": requests,
        "project_id": group.project_id,
        "user_id": group.user_id,
        "api_key_id": group.api_key_id,
        "model": group.model,
        "batch": None,
        "service_tier": None,
        "api_source": None,
    }


def period_of(asked: QueryParams, width: Width, page: tuple[int, int]) -> Period:
    """Raises ApiError: 400."""
    width_s = WIDTHS_S[width]
    usual, most = page
    start = query.moment(asked, "start_time", default=None) // width_s * width_s
    now = int(time.time())
    end = query.moment(asked, "end_time", default=now + 1)
    if end <= start:
        raise administration_errors.invalid_value("end_time", "it must be later than start_time.")
    limit = query.integer(asked, "limit", default=usual, highest=most)
    token = asked.get("page")
    if token is not None:
        start = _read_page(token, start, width_s)
    return Period(start, min(start + limit * width_s, end), end)


def page_of(data: Sequence[Json], period: Period) -> Json:
    has_more = period.end < period.whole_end
    return {
        "object": "page",
        "data": data,
        "has_more": has_more,
        "next_page": _page_token(period.end) if has_more else None,
    }


def _page_token(start: int) -> str:
    return "page_" + base64.urlsafe_b64encode(str(start).encode()).decode().rstrip("=")


def _read_page(token: str, first: int, width_s: int) -> int:
    wrong = administration_errors.invalid_value("page", "use next_page of the page before.")
    try:
        encoded = token.removeprefix("page_")
        start = int(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except ValueError as exc:
        raise wrong from exc
    if not first <= start <= query.MAX_UNIX_S or start % width_s:
        raise wrong
    return start
