"""WORKER_TRTLLM_* -> the arguments of LLM(...). Pure.

A preset says what suits the GPUs; each of its values has a variable that replaces it.
What TensorRT-LLM would refuse after a quarter of an hour of loading, or accept and do
badly, is refused here, by the variable's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeVar

from workers.engines.trtllm.presets import PRESETS, Gpu, KvCacheType, MoeBackend, Preset
from workers.settings import SettingsError, WorkerSettings, read_number, read_switch

_PREFIX = "WORKER_TRTLLM_"
TOKENS_PER_BLOCK = 32
_SLIDING_WINDOW = 128  # of every other layer of gpt-oss
_GPUS = (1, 2, 4, 8)

_Choice = TypeVar("_Choice", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Configuration:
    """An engine that can be built. Raises SettingsError if it cannot."""

    model: str  # directory of the checkpoint
    layout: Preset
    max_running: int  # generations that share the batch
    context_tokens: int  # prompt and output together
    kv_cache_reuse: bool = True
    chunked_prefill: bool = True
    overlap_scheduler: bool = True  # prepares a step while the GPU does the one before
    sliding_window: bool = False  # tell the KV cache that half of the layers forget
    stream_interval: int = 1  # tokens between two reports on a generation
    hang_s: float = 60  # without any progress; the engine's own detector takes 300
    warm_up: bool = True

    def __post_init__(self) -> None:
        layout = self.layout
        if not self.model:
            raise SettingsError(_PREFIX + "MODEL must be the directory of the model's checkpoint")
        for name, gpus in (
            ("TENSOR_PARALLEL", layout.tensor_parallel),
            ("EXPERT_PARALLEL", layout.expert_parallel),
        ):
            if gpus not in _GPUS:
                raise SettingsError(f"{_PREFIX}{name} must be 1, 2, 4 or 8, not {gpus}")
        if layout.tensor_parallel % layout.expert_parallel:
            raise SettingsError(
                f"{_PREFIX}EXPERT_PARALLEL must divide {_PREFIX}TENSOR_PARALLEL: "
                f"{layout.expert_parallel} does not divide {layout.tensor_parallel}"
            )
        self._check_backend()
        self._check_tokens()
        if not 0 < layout.kv_cache_fraction <= 0.95:
            raise SettingsError(
                f"{_PREFIX}KV_CACHE_FRACTION must be above 0 and at most 0.95, "
                f"not {layout.kv_cache_fraction:g}: the rest is for activations"
            )
        if layout.attention_dp and layout.tensor_parallel == 1:
            raise SettingsError(f"{_PREFIX}ATTENTION_DP needs more than one GPU")

    def _check_backend(self) -> None:
        layout, blackwell = self.layout, self.layout.gpu is Gpu.B200
        if layout.moe_backend is MoeBackend.TRTLLM and not blackwell:
            raise SettingsError(f"{_PREFIX}MOE_BACKEND: TRTLLM needs Blackwell; Hopper has TRITON")
        if (
            layout.moe_backend is MoeBackend.TRITON
            and layout.expert_parallel != layout.tensor_parallel
        ):
            raise SettingsError(
                f"{_PREFIX}EXPERT_PARALLEL must be {layout.tensor_parallel}, as "
                f"{_PREFIX}TENSOR_PARALLEL is: the TRITON backend splits no expert"
            )
        if layout.kv_cache_type is KvCacheType.FP8 and not blackwell:
            raise SettingsError(f"{_PREFIX}KV_CACHE_TYPE: fp8 needs Blackwell; Hopper has auto")

    def _check_tokens(self) -> None:
        most = self.layout.max_num_tokens
        if most < self.max_running:
            raise SettingsError(
                f"{_PREFIX}MAX_NUM_TOKENS must be at least WORKER_MAX_RUNNING "
                f"({self.max_running}), not {most}: each generation gets a token a step"
            )
        if not self.chunked_prefill and most < self.context_tokens:
            raise SettingsError(
                f"{_PREFIX}MAX_NUM_TOKENS must be at least WORKER_CONTEXT_TOKENS "
                f"({self.context_tokens}), not {most}, when {_PREFIX}CHUNKED_PREFILL is 0: "
                "a longer prompt would be refused"
            )

    def llm_arguments(self) -> dict[str, Any]:
        """What LLM(...) is called with. It refuses names that it does not know."""
        layout = self.layout
        arguments: dict[str, Any] = {
            "model": self.model,
            "trust_remote_code": False,
            "tensor_parallel_size": layout.tensor_parallel,
            "pipeline_parallel_size": 1,
            "moe_expert_parallel_size": layout.expert_parallel,
            "enable_attention_dp": layout.attention_dp,
            "max_batch_size": self.max_running,
            "max_num_tokens": layout.max_num_tokens,
            "max_seq_len": self.context_tokens,
            "enable_chunked_prefill": self.chunked_prefill,
            "kv_cache_config": self._kv_cache(),
            "moe_config": {"backend": layout.moe_backend.value},
            "cuda_graph_config": {"enable_padding": True, "max_batch_size": self.max_running},
            # MAX_UTILIZATION throws generations out and computes them again: the
            # grammar of a constrained one then begins anew, in its middle.
            "scheduler_config": {"capacity_scheduler_policy": "GUARANTEED_NO_EVICT"},
            "guided_decoding_backend": "llguidance",
            "disable_overlap_scheduler": not self.overlap_scheduler,
            "stream_interval": self.stream_interval,
            "num_postprocess_workers": 0,  # they turn ids into text, which nobody asks for
            "return_perf_metrics": True,
            "enable_iter_perf_stats": True,
        }
        if layout.attention_dp:
            arguments["attention_dp_config"] = {
                "enable_balance": True,
                "batching_wait_iters": 50,
                "timeout_iters": 1,
            }
        return arguments

    def _kv_cache(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            "enable_block_reuse": self.kv_cache_reuse,
            "enable_partial_reuse": self.kv_cache_reuse,
            "copy_on_partial_reuse": self.kv_cache_reuse,
            "free_gpu_memory_fraction": self.layout.kv_cache_fraction,
            "tokens_per_block": TOKENS_PER_BLOCK,
            "dtype": self.layout.kv_cache_type.value,
            # No host_cache_size: moving blocks to host memory has mixed up tenants'
            # prompts in a release candidate of 1.2.
        }
        if self.sliding_window:
            config["max_attention_window"] = [_SLIDING_WINDOW, self.context_tokens]
        return config


_VARIABLES = frozenset(
    _PREFIX + name
    for name in (
        "MODEL",
        "PRESET",
        "TENSOR_PARALLEL",
        "EXPERT_PARALLEL",
        "MOE_BACKEND",
        "KV_CACHE_TYPE",
        "KV_CACHE_FRACTION",
        "KV_CACHE_REUSE",
        "MAX_NUM_TOKENS",
        "ATTENTION_DP",
        "CHUNKED_PREFILL",
        "OVERLAP_SCHEDULER",
        "SLIDING_WINDOW",
        "STREAM_INTERVAL",
        "HANG_S",
        "WARM_UP",
    )
)


def read_configuration(environment: Mapping[str, str], settings: WorkerSettings) -> Configuration:
    """The configuration that *environment* holds. Raises SettingsError."""
    for name in sorted(environment):
        if name.startswith(_PREFIX) and name not in _VARIABLES:
            known = ", ".join(sorted(_VARIABLES))
            raise SettingsError(f"{name} is not a setting of this engine; there are {known}")
    preset = _preset(environment)

    def whole(name: str, default: int) -> int:
        return int(read_number(environment, _PREFIX + name, default, at_least=1, whole=True))

    def number(name: str, default: float, *, at_least: float = 0) -> float:
        return read_number(environment, _PREFIX + name, default, at_least=at_least, whole=False)

    def switch(name: str, default: bool) -> bool:
        return read_switch(environment, _PREFIX + name, default)

    layout = replace(
        preset,
        tensor_parallel=whole("TENSOR_PARALLEL", preset.tensor_parallel),
        expert_parallel=whole("EXPERT_PARALLEL", preset.expert_parallel),
        moe_backend=_choice(environment, "MOE_BACKEND", MoeBackend, preset.moe_backend),
        kv_cache_type=_choice(environment, "KV_CACHE_TYPE", KvCacheType, preset.kv_cache_type),
        kv_cache_fraction=number("KV_CACHE_FRACTION", preset.kv_cache_fraction),
        max_num_tokens=whole("MAX_NUM_TOKENS", preset.max_num_tokens),
        attention_dp=switch("ATTENTION_DP", preset.attention_dp),
    )
    return Configuration(
        model=environment.get(_PREFIX + "MODEL", ""),
        layout=layout,
        max_running=settings.max_running,
        context_tokens=settings.context_tokens,
        kv_cache_reuse=switch("KV_CACHE_REUSE", True),
        chunked_prefill=switch("CHUNKED_PREFILL", True),
        overlap_scheduler=switch("OVERLAP_SCHEDULER", True),
        sliding_window=switch("SLIDING_WINDOW", False),
        stream_interval=whole("STREAM_INTERVAL", 1),
        hang_s=number("HANG_S", 60, at_least=5),
        warm_up=switch("WARM_UP", True),
    )


def _preset(environment: Mapping[str, str]) -> Preset:
    name = environment.get(_PREFIX + "PRESET", "")
    if name not in PRESETS:
        raise SettingsError(f"{_PREFIX}PRESET must be one of {', '.join(PRESETS)}, not {name!r}")
    return PRESETS[name]


def _choice(
    environment: Mapping[str, str], name: str, choices: type[_Choice], default: _Choice
) -> _Choice:
    text = environment.get(_PREFIX + name, "") or default.value
    if text not in list(choices):
        wanted = ", ".join(each.value for each in choices)
        raise SettingsError(f"{_PREFIX}{name} must be one of {wanted}, not {text!r}")
    return choices(text)
