"""Names, versions, vocabulary."""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace

from workers.engine import GREEDY
from workers.engines.trtllm.checks.bench import Bench, Check, Failed, Outcome, Passed
from workers.engines.trtllm.llm_api import executor_is_dead
from workers.engines.trtllm.sampling import sampling_arguments

_TESTED = "1.2.1"
_SAMPLES = (
    "Hello, world! 1234567 naïve 東京 🎉\n\n\tdef f(x):\n        return x",
    '{"city":"Paris","rain":true}',
    "<|start|>system<|message|>a<|end|><|start|>user<|message|>b<|end|><|start|>assistant",
    "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}<|call|>",
    "<|return|><|endoftext|>",
)


async def _version(bench: Bench) -> Outcome:
    assert bench.library is not None
    found = f"{bench.library.version}, llguidance {importlib.metadata.version('llguidance')}"
    return Passed(found) if bench.library.version == _TESTED else Failed(found)


async def _loads(bench: Bench) -> Outcome:
    # Whoever asks has loaded it: the runner reports what prevented that.
    return Passed()


async def _sampling_parameters(bench: Bench) -> Outcome:
    assert bench.library is not None
    sampling = replace(GREEDY, seed=1, presence_penalty=1.0, frequency_penalty=1.0)
    request = bench.request(sampling=sampling, top_logprobs=20)
    bench.library.SamplingParams(**sampling_arguments(request))
    bench.library.GuidedDecodingParams(grammar='%llguidance {}\nstart: "a"\n')
    return Passed()


async def _health(bench: Bench) -> Outcome:
    dead = executor_is_dead(bench.llm)
    return Failed("it says that it is dead") if dead else Passed()


async def _vocabulary(bench: Bench) -> Outcome:
    theirs = bench.llm.tokenizer  # type: ignore[attr-defined]
    for text in _SAMPLES:
        ours = bench.tokenizer.encode_harmony(text)
        found = list(theirs.encode(text, add_special_tokens=False))
        if found != ours:
            return Failed(f"{text!r} is {found} there and {ours} here")
    return Passed()


CHECKS = (
    Check(
        "library-version",
        "TensorRT-LLM is 1.2.1, the release for which all of this was written.",
        "Read every other line with care; nothing here was tried with another release.",
        _version,
    ),
    Check(
        "engine-loads",
        "LLM(...) takes every argument that the preset gives it, and generate_async has cache_salt.",
        "The error names the argument; see llm_arguments() in configuration.py. Without "
        "cache_salt: WORKER_TRTLLM_KV_CACHE_REUSE=0, or projects could see what others asked.",
        _loads,
    ),
    Check(
        "sampling-parameters",
        "SamplingParams and GuidedDecodingParams take every argument of ours.",
        "The error names the argument; see sampling.py.",
        _sampling_parameters,
    ),
    Check(
        "executor-health",
        "LLM._executor.is_shutdown() tells whether the executor lives.",
        "A dead executor is only noticed when it hangs: set WORKER_TRTLLM_HANG_S low, and look "
        "for another sign in executor_is_dead().",
        _health,
    ),
    Check(
        "vocabulary",
        "The checkpoint's tokenizer and ours give the same ids, control tokens included.",
        "Do not serve: the gateway would talk gibberish to the model. Is it gpt-oss?",
        _vocabulary,
    ),
)
