"""RequestOutput and CompletionOutput: one object each, changed in place as it is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.workers.trtllm.fake_params import SamplingParams


class RequestError(RuntimeError):
    """What befalls one generation alone."""


@dataclass(slots=True)
class FakeLogprob:
    logprob: float
    rank: int | None = None


@dataclass(slots=True)
class CompletionOutput:
    index: int = 0
    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[dict[int, FakeLogprob]] = field(default_factory=list)
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    request_perf_metrics: Any = None
    told: int = 0  # of token_ids, before the last report

    @property
    def token_ids_diff(self) -> list[int]:
        return self.token_ids[self.told :]

    @property
    def length(self) -> int:
        return len(self.token_ids)


@dataclass(slots=True)
class Response:
    """What the executor says of a step."""

    token_ids: list[int] = field(default_factory=list)
    logprobs: list[dict[int, FakeLogprob]] = field(default_factory=list)
    finish: str | None = None  # "end_id", "stop_words", or a finish_reason
    metrics: Any = None


class RequestOutput:
    """To be made inside a running event loop."""

    def __init__(
        self,
        request_id: int,
        prompt_token_ids: list[int],
        params: SamplingParams,
        *,
        abort: Callable[[RequestOutput], None],
    ) -> None:
        asyncio.get_running_loop()
        self.request_id = request_id
        self.prompt_token_ids = prompt_token_ids
        self.params = params
        self.outputs = [CompletionOutput()]
        self.cached_tokens = 0
        self.responses: asyncio.Queue[Response | Exception] = asyncio.Queue()
        self._abort = abort
        self._aborted = False
        self._done = False

    @property
    def finished(self) -> bool:
        return self._done

    def aborted(self) -> bool:
        return self._aborted

    def abort(self) -> None:
        self._aborted = True
        self._abort(self)

    def __aiter__(self) -> RequestOutput:
        return self

    async def __anext__(self) -> RequestOutput:
        if self._done:
            raise StopAsyncIteration
        response = await self.responses.get()
        if isinstance(response, Exception):
            self._done = True
            raise response
        self._take(response)
        return self

    def _take(self, response: Response) -> None:
        output = self.outputs[0]
        output.told = len(output.token_ids)
        output.token_ids.extend(response.token_ids)
        output.logprobs.extend(response.logprobs)
        if response.finish is None:
            return
        self._done = True
        output.request_perf_metrics = response.metrics
        output.finish_reason = {"end_id": "stop", "stop_words": "stop"}.get(
            response.finish, response.finish
        )
        if response.finish == "stop_words":
            output.stop_reason = output.token_ids[-1]
            if not self.params.include_stop_str_in_output:
                output.token_ids = output.token_ids[:-1]
