"""A request -> the arguments of SamplingParams(...). Pure.

Whatever has a default there is said here: TensorRT-LLM's are 32 tokens, and greedy.
"""

from __future__ import annotations

from typing import Any

from wire import vocabulary
from workers.engine import EngineRequest

# What ends a text that is no turn. Never asked for, so a generation that ends with it
# has failed: for ResumedGrammar it is the way to say that there is no going on.
OUT_OF_TURN = vocabulary.ENDOFTEXT


def sampling_arguments(
    request: EngineRequest, *, guided_decoding: Any = None, logits_processor: Any = None
) -> dict[str, Any]:
    """At most one of *guided_decoding* and *logits_processor*: both would mask."""
    sampling = request.sampling
    arguments: dict[str, Any] = {
        "max_tokens": request.max_tokens,
        "temperature": sampling.temperature,  # 0: greedy
        "top_p": sampling.top_p,
        "end_id": vocabulary.RETURN,
        "pad_id": vocabulary.ENDOFTEXT,
        "stop_token_ids": sorted((request.stop_token_ids | {OUT_OF_TURN}) - {vocabulary.RETURN}),
        # Otherwise the stop id is cut off the ids, though it may have been delivered.
        "include_stop_str_in_output": True,
        "detokenize": False,
        "skip_special_tokens": False,
        "return_perf_metrics": True,
    }
    # These change which sampler's code a step runs: only for those who want them.
    if sampling.seed is not None:
        arguments["seed"] = sampling.seed
    if sampling.presence_penalty:
        arguments["presence_penalty"] = sampling.presence_penalty
    if sampling.frequency_penalty:
        arguments["frequency_penalty"] = sampling.frequency_penalty
    if request.top_logprobs is not None:
        arguments["logprobs"] = max(1, request.top_logprobs)  # 0 counts as: none at all
    if guided_decoding is not None:
        arguments["guided_decoding"] = guided_decoding
    if logits_processor is not None:
        arguments["logits_processor"] = logits_processor
    return arguments
