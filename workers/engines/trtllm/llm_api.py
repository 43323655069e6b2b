"""As much of TensorRT-LLM 1.2.1's LLM API as we use, and the one place that imports it.

The names are TensorRT-LLM's; what is not here, we do not touch.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import AsyncIterator, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class TrtllmMissing(Exception):
    """TensorRT-LLM cannot be imported here; the text says why."""


class Logprob(Protocol):
    logprob: float
    rank: int | None


class Completion(Protocol):
    """RequestOutput.outputs[0]. Changes in place while it is read."""

    @property
    def token_ids(self) -> Sequence[int]:
        """All so far. A stop id that ended it is cut off again, unless it was asked for."""

    @property
    def logprobs(self) -> Sequence[Mapping[int, Logprob]] | None:
        """One for each of token_ids, if any were asked for."""

    @property
    def finish_reason(self) -> str | None:
        """None while it runs; 'stop', 'length', 'timeout', 'cancelled', 'not_finished'."""

    @property
    def stop_reason(self) -> int | str | None:
        """The stop id of a 'stop'; None if it was the end id."""

    @property
    def request_perf_metrics(self) -> Any:
        """Only with return_perf_metrics, and only at the end."""


class RequestOutput(Protocol):
    """One generation. Iterating over it gives itself, once for each step."""

    @property
    def outputs(self) -> Sequence[Completion]: ...

    @property
    def finished(self) -> bool: ...

    @property
    def cached_tokens(self) -> int: ...

    def abort(self) -> None:
        """Have it end soon, as 'cancelled'. Does not wait."""

    def __aiter__(self) -> AsyncIterator[RequestOutput]:
        """Raises RequestError for what befalls this generation alone."""


class Llm(Protocol):
    """tensorrt_llm.LLM."""

    def generate_async(
        self, inputs: Any, sampling_params: Any, *, streaming: bool, **optional: Any
    ) -> RequestOutput:
        """Called on the event loop, where its result is read.

        Raises ValueError and RequestError for requests that it does not take, and
        RuntimeError when the executor is dead.
        """

    def get_stats_async(self, timeout: float) -> AsyncIterator[Mapping[str, Any]]:
        """What the iterations since the last call did; ends after *timeout* s without any."""

    def shutdown(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Library:
    """What there is in the package."""

    version: str
    LLM: Callable[..., Llm]
    SamplingParams: Callable[..., Any]
    GuidedDecodingParams: Callable[..., Any]
    RequestError: type[Exception]


# Left over from whatever started us, they make mpi4py believe that it is a rank of
# somebody else's job: the ranks of ours would never be started.
_OTHER_JOBS = ("OMPI_", "PMIX_", "PMI_")


def prepare_environment(environment: MutableMapping[str, str]) -> None:
    """Before TensorRT-LLM is imported, which reads it: here and in the ranks."""
    for name in [each for each in environment if each.startswith(_OTHER_JOBS)]:
        del environment[name]
    # As root in a container; said by nobody else.
    environment["OMPI_ALLOW_RUN_AS_ROOT"] = environment["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1"
    # Overlaps the end of a kernel with the beginning of the next.
    environment.setdefault("TRTLLM_ENABLE_PDL", "1")
    # The model is on a disk. A worker that is looking for it elsewhere is misconfigured.
    environment.setdefault("HF_HUB_OFFLINE", "1")


def load_library() -> Library:
    """Import TensorRT-LLM: takes half a minute. Raises TrtllmMissing."""
    prepare_environment(os.environ)
    try:
        package = importlib.import_module("tensorrt_llm")
        llmapi = importlib.import_module("tensorrt_llm.llmapi")
        return Library(
            version=package.__version__,
            LLM=package.LLM,
            SamplingParams=package.SamplingParams,
            GuidedDecodingParams=llmapi.GuidedDecodingParams,
            RequestError=llmapi.RequestError,
        )
    except (ImportError, AttributeError, OSError) as exc:  # OSError: a library of CUDA's
        raise TrtllmMissing(
            f"cannot import TensorRT-LLM ({type(exc).__name__}: {exc}): WORKER_ENGINE=tensorrt-llm "
            "needs the image nvcr.io/nvidia/tritonserver:26.07-trtllm-python-py3, and a GPU"
        ) from exc


def optional_arguments(llm: Llm) -> frozenset[str]:
    """The names of generate_async's arguments: they come and go between releases."""
    return frozenset(inspect.signature(llm.generate_async).parameters)


def executor_is_dead(llm: Llm) -> bool:
    """Whether nothing will ever be generated again.

    TensorRT-LLM has no public word for it; its own server asks the same.
    """
    executor = getattr(llm, "_executor", None)
    return executor is None or bool(executor.is_shutdown())
