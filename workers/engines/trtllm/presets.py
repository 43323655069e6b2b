"""What suits which GPUs: one worker is one engine, on one to eight GPUs of one node.

A node of 8 H100 runs four workers of h100-tp2, not one of h100-tp8: more GPUs for a
generation make it faster, not cheaper. `tp8` is for the lowest latency.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Gpu(StrEnum):
    H100 = "h100"  # 80 GB, Hopper
    H200 = "h200"  # 141 GB, Hopper
    B200 = "b200"  # 180 GB, Blackwell


class MoeBackend(StrEnum):
    TRITON = "TRITON"  # MXFP4 weights on Hopper
    TRTLLM = "TRTLLM"  # on Blackwell
    CUTLASS = "CUTLASS"


class KvCacheType(StrEnum):
    AUTO = "auto"  # 16 bits, as the model's
    FP8 = "fp8"  # half of that; on Blackwell only


@dataclass(frozen=True, slots=True)
class Preset:
    """How the model is laid out over GPUs, and what a step may hold."""

    gpu: Gpu
    tensor_parallel: int  # GPUs
    expert_parallel: int
    moe_backend: MoeBackend
    kv_cache_type: KvCacheType = KvCacheType.AUTO
    kv_cache_fraction: float = 0.85  # of what the weights leave free
    max_num_tokens: int = 16_384  # of one step: a longer prompt takes several
    attention_dp: bool = False  # each GPU its own generations: throughput, not latency


def _hopper(gpu: Gpu, gpus: int, *, max_num_tokens: int = 16_384) -> Preset:
    # The TRITON backend splits experts among GPUs, never an expert.
    return Preset(gpu, gpus, gpus, MoeBackend.TRITON, max_num_tokens=max_num_tokens)


def _blackwell(gpus: int, *, expert_parallel: int = 1, attention_dp: bool = False) -> Preset:
    return Preset(
        Gpu.B200,
        gpus,
        expert_parallel,
        MoeBackend.TRTLLM,
        KvCacheType.FP8,
        max_num_tokens=20_480,
        attention_dp=attention_dp,
    )


PRESETS = {
    # One H100 holds the weights, and then 0.3 M tokens of KV cache: two long prompts.
    "h100-tp2": _hopper(Gpu.H100, 2),
    "h100-tp4": _hopper(Gpu.H100, 4),
    "h100-tp8": _hopper(Gpu.H100, 8),
    "h200-tp1": _hopper(Gpu.H200, 1, max_num_tokens=20_480),  # most tokens per GPU
    "h200-tp2": _hopper(Gpu.H200, 2, max_num_tokens=20_480),
    "h200-tp4": _hopper(Gpu.H200, 4, max_num_tokens=20_480),
    "h200-tp8": _hopper(Gpu.H200, 8, max_num_tokens=20_480),
    "b200-tp1": _blackwell(1),
    "b200-tp2": _blackwell(2),
    "b200-tp4": _blackwell(4),
    "b200-tp8": _blackwell(8),  # lowest latency; WORKER_MAX_RUNNING=64
    # Most tokens per GPU; WORKER_MAX_RUNNING=720.
    "b200-dp2": _blackwell(2, expert_parallel=2, attention_dp=True),
}
