"""What we believe of TensorRT-LLM and could not see without a GPU, each with its test.

bench        an engine to test on, and what the checks have in common
library      names, versions, vocabulary
generation   ids in, ids out; how it ends; log probabilities
constraints  grammars
cache        the KV cache, long prompts, figures
failures     what must not bring the engine down, and what must

`ALL` is in the order in which they run: what may end the engine comes last.
docs/gpu-checklist.md is the list for people.
"""

from __future__ import annotations

from workers.engines.trtllm.checks import cache, constraints, failures, generation, library
from workers.engines.trtllm.checks.bench import Check

ALL: tuple[Check, ...] = (
    *library.CHECKS,
    *generation.CHECKS,
    *constraints.CHECKS,
    *cache.CHECKS,
    *failures.CHECKS,
)
