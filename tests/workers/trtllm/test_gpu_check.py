"""The check for GPU nodes: it passes what is as we believe, and names what is not."""

from __future__ import annotations

import pytest

from tests.workers.trtllm.fake_llm import Defects, FakeTrtllm, script
from workers import gpu_check
from workers.engines.simulator.tokenizer import Tokenizer
from workers.engines.trtllm.checks import ALL

_TURN = (
    "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>"
    "Hello there, this is a longer answer, and it goes on for a while.<|return|>"
)
# How a release may differ, and the check that tells.
_CAUGHT_BY: dict[str, tuple[bool | str, str]] = {
    "version": ("1.3.0", "library-version"),
    "unknown_argument": ("moe_config", "engine-loads"),
    "missing_parameter": ("logits_processor", "resumed-grammar"),
    "no_cache_salt": (True, "engine-loads"),
    "no_is_shutdown": (True, "executor-health"),
    "other_vocabulary": (True, "vocabulary"),
    "end_id_means_nothing": (True, "end-id"),
    "stop_id_always_cut": (True, "stop-id"),
    "stop_reason_hidden": (True, "stop-id"),
    "one_token_more": (True, "length"),
    "not_cumulative": (True, "reports"),
    "moody": (True, "greedy-repeats"),
    "logprobs_missing": (True, "logprobs"),
    "logprobs_without_the_token": (True, "logprobs"),
    "grammar_ignored": (True, "guided-decoding"),
    "processor_ignored": (True, "resumed-grammar"),
    "late_ids": (True, "resumed-grammar"),
    "pickling_fails": (True, "resumed-grammar"),
    "no_reuse": (True, "prefix-reuse"),
    "salt_ignored": (True, "cache-salt"),
    "abort_ignored": (True, "abort"),
    "no_perf_metrics": (True, "perf-metrics"),
    "other_statistics": (True, "statistics"),
    "long_prompt_refused": (True, "chunked-prefill"),
    "too_long_kills": (True, "too-long-prompt"),
    "bad_grammar_kills": (True, "bad-grammar"),
    "refuses_penalties": (True, "seed-and-penalties"),
    "shutdown_leaves_it_running": (True, "shutdown"),
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_CONTEXT_TOKENS", "32000")  # the fake has no larger KV cache
    monkeypatch.setenv("WORKER_TRTLLM_HANG_S", "5")


def _check(tokenizer: Tokenizer, defects: Defects, *arguments: str) -> int:
    library = FakeTrtllm(script(tokenizer, _TURN), tokenizer, defects)
    command = ["--model", "/models/gpt-oss-120b", "--preset", "h100-tp2", *arguments]
    return gpu_check.main(command, library=library, abort_s=5)


def test_all_is_passed_where_all_is_as_believed(
    tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _check(tokenizer, Defects()) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("passed ")] == [
        check.name for check in ALL
    ]
    assert lines[-1] == f"{len(ALL)} passed, 0 failed, 0 skipped"


@pytest.mark.parametrize("defect", _CAUGHT_BY)
def test_what_is_otherwise_is_named(
    tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str], defect: str
) -> None:
    value, check = _CAUGHT_BY[defect]

    assert _check(tokenizer, Defects(**{defect: value})) == 1  # type: ignore[arg-type]

    last = capsys.readouterr().out.splitlines()[-1]
    assert check in last.removeprefix("failed: ").split(", ")


def test_one_check_alone_and_none_that_does_not_exist(
    tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _check(tokenizer, Defects(no_reuse=True), "--only", "vocabulary,length") == 0
    assert "2 passed, 0 failed" in capsys.readouterr().out

    assert _check(tokenizer, Defects(), "--only", "luck") == 2
    assert "there is no check 'luck'" in capsys.readouterr().err


def test_the_list_needs_no_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_check.main(["--list"]) == 0

    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == [check.name for check in ALL]
