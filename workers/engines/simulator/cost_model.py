"""How long one iteration of a batch takes on a GPU, and how much a GPU holds. Pure.

    a + weights read / bandwidth + prefill tokens + decode tokens + KV tokens read

Of the experts' weights those are read that any token of the step is routed to: 4 of 128
each, so a batch of a few sequences reads a part, a full one all. Fitted to published
throughput; how, and what that is worth, says docs/simulator.md.
"""

from __future__ import annotations

from dataclasses import dataclass

_SHARE_OF_EXPERTS_A_TOKEN = 4 / 128


@dataclass(frozen=True, slots=True)
class CostModel:
    """One GPU, and its share of the model."""

    iteration_ms: float  # whatever the step does: kernels are launched, tokens are sampled
    dense_weights_gb: float  # read in every step
    expert_weights_gb: float  # on this GPU
    bandwidth_gb_per_s: float  # as it is reached, not as it is sold
    prefill_us_per_token: float
    decode_us_per_token: float
    kv_ns_per_token: float  # of a context that a sequence of the step attends to
    # GPUs whose tokens meet at the experts: 4 of them route four times a GPU's tokens.
    expert_parallel: int
    max_num_tokens: int  # of one step: what decodes, and chunks of prompts
    kv_tokens: int  # what the KV cache has room for

    def iteration_s(self, *, prefill_tokens: int, decode_tokens: int, kv_tokens: int) -> float:
        """How long a step takes.

        Args:
            prefill_tokens: of prompts, without those that the prefix cache had.
            decode_tokens: one for each sequence that goes on.
            kv_tokens: the lengths of all contexts that are attended to, together.
        """
        routed = (prefill_tokens + decode_tokens) * self.expert_parallel
        experts = 1 - (1 - _SHARE_OF_EXPERTS_A_TOKEN) ** routed
        weights_gb = self.dense_weights_gb + self.expert_weights_gb * experts
        return (
            self.iteration_ms * 1e-3
            + weights_gb / self.bandwidth_gb_per_s
            + self.prefill_us_per_token * 1e-6 * prefill_tokens
            + self.decode_us_per_token * 1e-6 * decode_tokens
            + self.kv_ns_per_token * 1e-9 * kv_tokens
        )


# The dense weights are copied to every GPU of a group with attention data parallelism
# (DEP), the experts are shared out.
PRESETS = {
    "h200-tp1": CostModel(
        iteration_ms=1.5,
        dense_weights_gb=3.1,
        expert_weights_gb=60,
        bandwidth_gb_per_s=2080,  # .43 of 4,800
        prefill_us_per_token=27.6,
        decode_us_per_token=69,
        kv_ns_per_token=12.7,
        expert_parallel=1,
        max_num_tokens=20_000,
        kv_tokens=1_950_000,
    ),
    # One of four: DEP4.
    "h100": CostModel(
        iteration_ms=0.57,
        dense_weights_gb=3.1,
        expert_weights_gb=15,
        bandwidth_gb_per_s=2850,  # .85 of 3,350
        prefill_us_per_token=51,
        decode_us_per_token=100,
        kv_ns_per_token=33.5,
        expert_parallel=4,
        max_num_tokens=16_384,
        kv_tokens=1_400_000,
    ),
    # One of two: DEP2, its KV cache in fp8.
    "b200": CostModel(
        iteration_ms=1.2,
        dense_weights_gb=3.1,
        expert_weights_gb=30,
        bandwidth_gb_per_s=3830,  # .48 of 8,000
        prefill_us_per_token=13,
        decode_us_per_token=11.2,
        kv_ns_per_token=5.2,
        expert_parallel=2,
        max_num_tokens=20_000,
        kv_tokens=5_400_000,
    ),
}
