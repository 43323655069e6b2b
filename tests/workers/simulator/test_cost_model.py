"""The cost model, beside what was published about the GPUs that it stands for."""

from __future__ import annotations

import pytest

from bench.capacity.virtual_time import closed_loop
from workers.engines.simulator.cost_model import PRESETS

# Output tokens a second and GPU, many requests at once: TensorRT-LLM's performance
# overview, PyTorch backend. (input, output tokens) -> figure.
_PUBLISHED = {
    "h200-tp1": {(1024, 1024): 6_798, (1024, 8192): 3_543, (8192, 1024): 1_828, (32768, 1024): 519},
    "h100": {(1024, 1024): 4_715, (1024, 32768): 1_177, (8192, 1024): 1_169, (32768, 1024): 333},
    "b200": {
        (1024, 1024): 25_870,
        (1024, 8192): 17_289,
        (1024, 32768): 6_279,
        (8192, 1024): 6_111,
        (32768, 1024): 1_392,
    },
}


def _at_full_load(preset: str, input_tokens: int, output_tokens: int) -> float:
    """Output tokens a second of as many sequences as the KV cache has room for at their end.

    In the mean of their lives, and not by playing them: steps are alike, and there are
    millions of them.
    """
    cost = PRESETS[preset]
    batch = min(2048, cost.kv_tokens / (input_tokens + output_tokens))
    seconds = cost.iteration_s(
        prefill_tokens=round(batch * input_tokens / output_tokens),
        decode_tokens=round(batch),
        kv_tokens=round(batch * (input_tokens + output_tokens / 2)),
    )
    return batch / seconds


@pytest.mark.parametrize(
    ("preset", "lengths"),
    [(preset, lengths) for preset, figures in _PUBLISHED.items() for lengths in figures],
)
def test_throughput_is_what_was_published(preset: str, lengths: tuple[int, int]) -> None:
    published = _PUBLISHED[preset][lengths]

    assert _at_full_load(preset, *lengths) == pytest.approx(published, rel=0.1)


def test_more_clients_get_more_tokens_together_and_fewer_each() -> None:
    measured = [
        closed_loop(
            PRESETS["h200-tp1"],
            input_tokens=500,
            output_tokens=60,
            concurrency=concurrency,
            requests=4 * concurrency,
            max_running=256,
        )
        for concurrency in (2, 16, 64)
    ]

    together = [each.tokens_per_second for each in measured]
    apart = [sum(each.between_tokens_s) / len(each.between_tokens_s) for each in measured]
    assert together == sorted(together)
    assert apart == sorted(apart)


def test_a_full_batch_makes_the_others_wait_in_the_queue() -> None:
    def first_token_s(max_running: int) -> float:
        measured = closed_loop(
            PRESETS["b200"],
            input_tokens=200,
            output_tokens=50,
            concurrency=32,
            requests=128,
            max_running=max_running,
        )
        assert max(measured.running) <= max_running
        return sorted(measured.first_token_s)[len(measured.first_token_s) // 2]

    assert first_token_s(8) > 4 * first_token_s(32)
