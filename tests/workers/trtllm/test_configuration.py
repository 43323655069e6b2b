"""WORKER_TRTLLM_* variables, and what becomes of them."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.workers.trtllm.fake_llm import Defects, FakeLlm
from workers.engines.simulator.tokenizer import Tokenizer
from workers.engines.trtllm import configuration as module
from workers.engines.trtllm.configuration import Configuration, read_configuration
from workers.engines.trtllm.llm_api import TrtllmMissing, load_library, prepare_environment
from workers.engines.trtllm.presets import PRESETS, KvCacheType, MoeBackend
from workers.settings import SettingsError, WorkerSettings

_MINIMUM = {"WORKER_TRTLLM_MODEL": "/models/gpt-oss-120b", "WORKER_TRTLLM_PRESET": "h100-tp2"}


def _read(settings: WorkerSettings | None = None, **variables: str) -> Configuration:
    environment = _MINIMUM | {f"WORKER_TRTLLM_{name}": text for name, text in variables.items()}
    return read_configuration(environment, settings or WorkerSettings())


def test_a_preset_is_enough() -> None:
    assert _read(HANG_S="") == Configuration(
        model="/models/gpt-oss-120b",
        layout=PRESETS["h100-tp2"],
        max_running=256,
        context_tokens=131_072,
    )


def test_every_variable_is_read() -> None:
    assert _read(
        MODEL="/m",
        PRESET="b200-tp2",
        TENSOR_PARALLEL="8",
        EXPERT_PARALLEL="4",
        MOE_BACKEND="CUTLASS",
        KV_CACHE_TYPE="auto",
        KV_CACHE_FRACTION="0.5",
        KV_CACHE_REUSE="0",
        MAX_NUM_TOKENS="140000",
        ATTENTION_DP="1",
        CHUNKED_PREFILL="0",
        OVERLAP_SCHEDULER="0",
        SLIDING_WINDOW="1",
        STREAM_INTERVAL="3",
        HANG_S="7.5",
        WARM_UP="0",
    ) == Configuration(
        model="/m",
        layout=replace(
            PRESETS["b200-tp2"],
            tensor_parallel=8,
            expert_parallel=4,
            moe_backend=MoeBackend.CUTLASS,
            kv_cache_type=KvCacheType.AUTO,
            kv_cache_fraction=0.5,
            max_num_tokens=140_000,
            attention_dp=True,
        ),
        max_running=256,
        context_tokens=131_072,
        kv_cache_reuse=False,
        chunked_prefill=False,
        overlap_scheduler=False,
        sliding_window=True,
        stream_interval=3,
        hang_s=7.5,
        warm_up=False,
    )


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"MODEL": ""}, "WORKER_TRTLLM_MODEL must be the directory"),
        ({"PRESET": "a100"}, "WORKER_TRTLLM_PRESET must be one of h100-tp2, .*, not 'a100'"),
        ({"MODLE": "/m"}, "WORKER_TRTLLM_MODLE is not a setting of this engine; there are "),
        ({"TENSOR_PARALLEL": "3"}, "TENSOR_PARALLEL must be 1, 2, 4 or 8, not 3"),
        ({"TENSOR_PARALLEL": "two"}, "TENSOR_PARALLEL must be a whole number of at least 1"),
        ({"EXPERT_PARALLEL": "4"}, "4 does not divide 2"),
        ({"EXPERT_PARALLEL": "1"}, "EXPERT_PARALLEL must be 2, .* TRITON backend splits no"),
        ({"MOE_BACKEND": "TRTLLM"}, "TRTLLM needs Blackwell; Hopper has TRITON"),
        ({"MOE_BACKEND": "triton"}, "MOE_BACKEND must be one of TRITON, TRTLLM, CUTLASS, not 't"),
        ({"KV_CACHE_TYPE": "fp8"}, "fp8 needs Blackwell"),
        ({"KV_CACHE_FRACTION": "0.99"}, "KV_CACHE_FRACTION must be above 0 and at most 0.95"),
        ({"KV_CACHE_FRACTION": "0"}, "KV_CACHE_FRACTION must be above 0"),
        ({"KV_CACHE_REUSE": "yes"}, "KV_CACHE_REUSE must be 0 or 1"),
        ({"MAX_NUM_TOKENS": "100"}, r"must be at least WORKER_MAX_RUNNING \(256\), not 100"),
        ({"CHUNKED_PREFILL": "0"}, r"at least WORKER_CONTEXT_TOKENS \(131072\), not 16384"),
        ({"HANG_S": "1"}, "HANG_S must be a number of at least 5"),
        (
            {"PRESET": "h200-tp1", "ATTENTION_DP": "1"},
            "ATTENTION_DP needs more than one GPU",
        ),
    ],
)
def test_what_cannot_work_is_refused_by_name(variables: dict[str, str], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        _read(None, **variables)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_one_that_the_library_takes(name: str, tokenizer: Tokenizer) -> None:
    changes: list[dict[str, str]] = [{}, {"KV_CACHE_REUSE": "0"}, {"SLIDING_WINDOW": "1"}]
    for variables in changes:
        arguments = _read(None, PRESET=name, **variables).llm_arguments()
        FakeLlm(lambda ids: [], tokenizer, Defects(), arguments)
        assert arguments["tensor_parallel_size"] <= 8


def test_the_arguments_of_the_library_are_exactly_these() -> None:
    expected: dict[str, Any] = {
        "model": "/models/gpt-oss-120b",
        "trust_remote_code": False,
        "tensor_parallel_size": 2,
        "pipeline_parallel_size": 1,
        "moe_expert_parallel_size": 2,
        "enable_attention_dp": False,
        "max_batch_size": 128,
        "max_num_tokens": 16_384,
        "max_seq_len": 65_536,
        "enable_chunked_prefill": True,
        "kv_cache_config": {
            "enable_block_reuse": True,
            "enable_partial_reuse": True,
            "copy_on_partial_reuse": True,
            "free_gpu_memory_fraction": 0.85,
            "tokens_per_block": 32,
            "dtype": "auto",
        },
        "moe_config": {"backend": "TRITON"},
        "cuda_graph_config": {"enable_padding": True, "max_batch_size": 128},
        "scheduler_config": {"capacity_scheduler_policy": "GUARANTEED_NO_EVICT"},
        "guided_decoding_backend": "llguidance",
        "disable_overlap_scheduler": False,
        "stream_interval": 1,
        "num_postprocess_workers": 0,
        "return_perf_metrics": True,
        "enable_iter_perf_stats": True,
    }
    settings = WorkerSettings(max_running=128, context_tokens=65_536)
    assert _read(settings).llm_arguments() == expected


def test_an_unknown_name_would_be_an_error_of_the_library(tokenizer: Tokenizer) -> None:
    arguments = _read().llm_arguments()
    with pytest.raises(ValueError, match="max_batch"):
        FakeLlm(lambda ids: [], tokenizer, Defects(), arguments | {"max_batch": 1})
    arguments["kv_cache_config"]["block_reuse"] = True
    with pytest.raises(ValueError, match=r"kv_cache_config.block_reuse"):
        FakeLlm(lambda ids: [], tokenizer, Defects(), arguments)


def test_every_variable_and_preset_is_documented() -> None:
    text = Path("docs/configuration.md").read_text()
    assert set(re.findall(r"^\| `(WORKER_TRTLLM_\w+)` \|", text, re.MULTILINE)) == set(
        module._VARIABLES
    )
    assert set(re.findall(r"`((?:h100|h200|b200)-\w+)`", text)) == set(PRESETS)


def test_what_another_job_has_left_in_the_environment_is_taken_out() -> None:
    environment = {
        "OMPI_COMM_WORLD_SIZE": "4",
        "PMIX_RANK": "1",
        "PMI_RANK": "1",
        "PATH": "/bin",
        "TRTLLM_ENABLE_PDL": "0",
    }
    prepare_environment(environment)
    assert environment == {
        "PATH": "/bin",
        "TRTLLM_ENABLE_PDL": "0",
        "HF_HUB_OFFLINE": "1",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    }


def test_a_machine_without_the_library_says_which_image_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "environ", {})
    with pytest.raises(TrtllmMissing, match="tritonserver:26.07-trtllm-python-py3"):
        load_library()
