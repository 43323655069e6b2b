"""What TensorRT-LLM reports, however it reports it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from tests.workers.prompts import engine_request, user
from tests.workers.trtllm.fake_output import CompletionOutput, FakeLogprob
from wire import vocabulary
from workers.engine import Alternative, EngineTotals, Stopped, TokenLogprob
from workers.engines.simulator.tokenizer import Tokenizer
from workers.engines.trtllm.outputs import Progress, Reader
from workers.engines.trtllm.statistics import iteration_totals, kv_free_ratio, request_totals


@dataclass
class _Report:
    outputs: list[CompletionOutput] = field(default_factory=lambda: [CompletionOutput()])
    finished: bool = False
    cached_tokens: int = 0


def _read(reader: Reader, report: Any, **changes: Any) -> Progress:
    for name, value in changes.items():
        setattr(report if name == "finished" else report.outputs[0], name, value)
    return reader.read(report)


def test_a_stop_id_that_was_delivered_and_then_cut_off_is_not_repeated(
    tokenizer: Tokenizer,
) -> None:
    reader, report = Reader(engine_request(tokenizer, user("Hi"))), _Report()

    assert _read(reader, report, token_ids=[1, 2]) == Progress([1, 2], [], None)
    assert _read(reader, report, token_ids=[1, 2, vocabulary.CALL]).token_ids == [vocabulary.CALL]
    assert _read(
        reader,
        report,
        token_ids=[1, 2],
        finish_reason="stop",
        stop_reason=vocabulary.CALL,
        finished=True,
    ) == Progress([], [], Stopped(vocabulary.CALL))


def test_a_reason_before_the_last_report_ends_nothing(tokenizer: Tokenizer) -> None:
    reader, report = Reader(engine_request(tokenizer, user("Hi"))), _Report()
    assert _read(reader, report, token_ids=[1], finish_reason="stop").ending is None


def test_what_a_grammar_forbids_is_no_alternative(tokenizer: Tokenizer) -> None:
    reader = Reader(engine_request(tokenizer, user("Hi"), top_logprobs=3))
    told = {1: FakeLogprob(-0.5), 2: FakeLogprob(-float("inf")), 3: FakeLogprob(-0.1)}
    assert _read(reader, _Report(), token_ids=[1], logprobs=[told]).logprobs == [
        TokenLogprob(-0.5, (Alternative(3, -0.1), Alternative(1, -0.5)))
    ]


@pytest.mark.parametrize(
    "iteration",
    [
        {},
        {"kvCacheStats": None},
        {"kvCacheStats": {"freeNumBlocks": 5}},
        {"kvCacheStats": {"freeNumBlocks": 5, "maxNumBlocks": 0}},
        {"kvCacheStats": {"freeNumBlocks": "5", "maxNumBlocks": 10}},
    ],
)
def test_statistics_of_another_shape_are_not_told(iteration: dict[str, Any]) -> None:
    assert kv_free_ratio(iteration) is None


def test_the_free_part_of_the_cache_is_a_share() -> None:
    assert kv_free_ratio({"kvCacheStats": {"freeNumBlocks": 5, "maxNumBlocks": 10}}) == 0.5


@pytest.mark.parametrize("latency", [None, "20", 0, -1, float("nan"), float("inf")])
def test_an_iteration_whose_length_is_not_told_is_not_counted(latency: Any) -> None:
    assert iteration_totals({"iterLatencyMS": latency}) == iteration_totals({}) == EngineTotals()
    assert iteration_totals({"iterLatencyMS": 20.5}) == EngineTotals(
        iterations=1, iteration_s=0.0205
    )


def test_a_generation_that_never_got_a_place_took_no_time() -> None:
    timing = SimpleNamespace(arrival_time=timedelta(seconds=5), first_scheduled_time=timedelta(0))
    assert request_totals(SimpleNamespace(timing_metrics=timing)) == EngineTotals()
    assert request_totals(None) == EngineTotals()


def test_points_in_time_may_be_numbers() -> None:
    timing = SimpleNamespace(
        arrival_time=1.0, first_scheduled_time=1.5, first_token_time=3.5, last_token_time=7.5
    )
    assert request_totals(SimpleNamespace(timing_metrics=timing)) == EngineTotals(0.5, 2, 4)
